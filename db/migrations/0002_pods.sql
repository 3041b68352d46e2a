CREATE TABLE "config_maps" (
	"project_id" uuid NOT NULL,
	"name" text NOT NULL,
	"version" integer NOT NULL,
	"data" jsonb NOT NULL,
	"binary" jsonb NOT NULL,
	"created_by" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "config_maps_pkey" PRIMARY KEY("project_id","name","version")
);
--> statement-breakpoint
CREATE TABLE "sealing_keys" (
	"kid" text PRIMARY KEY NOT NULL,
	"check" "bytea" NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "secrets" (
	"project_id" uuid NOT NULL,
	"name" text NOT NULL,
	"version" integer NOT NULL,
	"keys" text[] NOT NULL,
	"mark" text NOT NULL,
	"kid" text NOT NULL,
	"wrapped_key" "bytea" NOT NULL,
	"sealed" "bytea" NOT NULL,
	"created_by" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "secrets_pkey" PRIMARY KEY("project_id","name","version")
);
--> statement-breakpoint
CREATE TABLE "volumes" (
	"project_id" uuid NOT NULL,
	"name" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"removed_at" timestamp with time zone,
	"purge_asked_at" timestamp with time zone,
	"node_id" uuid,
	CONSTRAINT "volumes_pkey" PRIMARY KEY("project_id","name")
);
--> statement-breakpoint
CREATE TABLE "exec_frames" (
	"session_id" uuid NOT NULL,
	"direction" text NOT NULL,
	"seq" integer NOT NULL,
	"frame" "bytea" NOT NULL,
	CONSTRAINT "exec_frames_pkey" PRIMARY KEY("session_id","direction","seq")
);
--> statement-breakpoint
CREATE TABLE "exec_sessions" (
	"id" uuid PRIMARY KEY NOT NULL,
	"app_id" uuid NOT NULL,
	"node_id" uuid NOT NULL,
	"pod_id" uuid NOT NULL,
	"container" text NOT NULL,
	"command" text[] NOT NULL,
	"tty" boolean NOT NULL,
	"stdin" boolean NOT NULL,
	"timeout_seconds" integer NOT NULL,
	"input_ended" boolean DEFAULT false NOT NULL,
	"abandoned" boolean DEFAULT false NOT NULL,
	"agent_seen_at" timestamp with time zone,
	"person_seen_at" timestamp with time zone DEFAULT now() NOT NULL,
	"exit" jsonb,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "log_chunks" (
	"id" bigserial PRIMARY KEY NOT NULL,
	"app_id" uuid NOT NULL,
	"pod_id" uuid NOT NULL,
	"pod_name" text NOT NULL,
	"release" integer NOT NULL,
	"container" text NOT NULL,
	"attempt" integer NOT NULL,
	"from_byte" bigint NOT NULL,
	"to_byte" bigint NOT NULL,
	"dropped" integer DEFAULT 0 NOT NULL,
	"lines" jsonb NOT NULL,
	"size_bytes" integer NOT NULL,
	"first_at" timestamp with time zone DEFAULT now() NOT NULL,
	"last_at" timestamp with time zone DEFAULT now() NOT NULL,
	"stored_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "log_chunks_place" UNIQUE("pod_id","container","attempt","from_byte")
);
--> statement-breakpoint
ALTER TABLE "node_status" ADD COLUMN "handlers" text[] DEFAULT '{}' NOT NULL;--> statement-breakpoint
ALTER TABLE "nodes" ADD COLUMN "public_key" "bytea";--> statement-breakpoint
ALTER TABLE "releases" ADD COLUMN "materials" jsonb DEFAULT '{"secrets":{},"configMaps":{}}'::jsonb NOT NULL;--> statement-breakpoint
ALTER TABLE "releases" ADD COLUMN "new_pods" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "releases" ADD COLUMN "images" jsonb;--> statement-breakpoint
ALTER TABLE "releases" ADD COLUMN "http_port" integer;--> statement-breakpoint
ALTER TABLE "config_maps" ADD CONSTRAINT "config_maps_project_id_projects_id_fk" FOREIGN KEY ("project_id") REFERENCES "public"."projects"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "secrets" ADD CONSTRAINT "secrets_project_id_projects_id_fk" FOREIGN KEY ("project_id") REFERENCES "public"."projects"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "volumes" ADD CONSTRAINT "volumes_project_id_projects_id_fk" FOREIGN KEY ("project_id") REFERENCES "public"."projects"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "volumes" ADD CONSTRAINT "volumes_node_id_nodes_id_fk" FOREIGN KEY ("node_id") REFERENCES "public"."nodes"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "exec_frames" ADD CONSTRAINT "exec_frames_session_id_exec_sessions_id_fk" FOREIGN KEY ("session_id") REFERENCES "public"."exec_sessions"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "exec_sessions" ADD CONSTRAINT "exec_sessions_app_id_apps_id_fk" FOREIGN KEY ("app_id") REFERENCES "public"."apps"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "exec_sessions" ADD CONSTRAINT "exec_sessions_node_id_nodes_id_fk" FOREIGN KEY ("node_id") REFERENCES "public"."nodes"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "log_chunks" ADD CONSTRAINT "log_chunks_app_id_apps_id_fk" FOREIGN KEY ("app_id") REFERENCES "public"."apps"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "secrets_kid" ON "secrets" USING btree ("kid");--> statement-breakpoint
CREATE INDEX "volumes_node" ON "volumes" USING btree ("node_id");--> statement-breakpoint
CREATE INDEX "exec_sessions_node" ON "exec_sessions" USING btree ("node_id");--> statement-breakpoint
CREATE INDEX "exec_sessions_created" ON "exec_sessions" USING btree ("created_at");--> statement-breakpoint
CREATE INDEX "log_chunks_app" ON "log_chunks" USING btree ("app_id","id");--> statement-breakpoint
CREATE INDEX "log_chunks_time" ON "log_chunks" USING btree ("app_id","first_at","id");--> statement-breakpoint
CREATE INDEX "log_chunks_stored" ON "log_chunks" USING btree ("stored_at");--> statement-breakpoint
UPDATE "releases" SET "http_port" = 8080 WHERE "image_digest" IS NOT NULL;--> statement-breakpoint
UPDATE "pods" SET "spec" = jsonb_set("spec", '{spec,initContainers}', '[]') WHERE NOT "spec"->'spec' ? 'initContainers';
