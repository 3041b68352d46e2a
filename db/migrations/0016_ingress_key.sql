ALTER TABLE "routing" ADD COLUMN "ingress_key" uuid DEFAULT gen_random_uuid() NOT NULL;--> statement-breakpoint
-- Every node is told.
UPDATE "routing" SET "generation" = "generation" + 1;
