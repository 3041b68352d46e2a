ALTER TABLE "node_status" ADD COLUMN "usage" jsonb DEFAULT '{}'::jsonb NOT NULL;--> statement-breakpoint
ALTER TABLE "node_status" SET (fillfactor = 50);
