CREATE TABLE "node_sessions" (
	"node_id" uuid PRIMARY KEY NOT NULL,
	"session" uuid NOT NULL,
	"seen_at" timestamp with time zone DEFAULT now() NOT NULL,
	"refused" uuid,
	"refused_at" timestamp with time zone
);
--> statement-breakpoint
ALTER TABLE "node_sessions" SET (fillfactor = 50);--> statement-breakpoint
ALTER TABLE "node_status" ADD COLUMN "address" text;--> statement-breakpoint
ALTER TABLE "node_status" ADD COLUMN "told_address" text;--> statement-breakpoint
ALTER TABLE "nodes" ADD COLUMN "draining" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "nodes" ADD COLUMN "fenced_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "nodes" ADD COLUMN "pod_range" text;--> statement-breakpoint
ALTER TABLE "tokens" ADD COLUMN "node_labels" jsonb;--> statement-breakpoint
ALTER TABLE "tokens" ADD COLUMN "used_by" "bytea";--> statement-breakpoint
ALTER TABLE "node_sessions" ADD CONSTRAINT "node_sessions_node_id_nodes_id_fk" FOREIGN KEY ("node_id") REFERENCES "public"."nodes"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "node_status" ADD CONSTRAINT "node_status_address_key" UNIQUE("address");--> statement-breakpoint
ALTER TABLE "nodes" ADD CONSTRAINT "nodes_pod_range_key" UNIQUE("pod_range");