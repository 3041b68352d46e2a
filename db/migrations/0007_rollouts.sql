CREATE TABLE "control_plane" (
	"id" boolean PRIMARY KEY DEFAULT true NOT NULL,
	"calm_since" timestamp with time zone DEFAULT now() NOT NULL,
	"last_pass_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
ALTER TABLE "pods" ADD COLUMN "gone_generation" bigint;--> statement-breakpoint
UPDATE "apps" SET "spec" = '{"singleton": false}'::jsonb || "spec";--> statement-breakpoint
UPDATE "releases" SET "spec" = '{"singleton": false}'::jsonb || "spec";
