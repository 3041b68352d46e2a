ALTER TABLE "node_plans" ADD COLUMN "marks" uuid[] DEFAULT '{}' NOT NULL;--> statement-breakpoint
ALTER TABLE "node_plans" ADD COLUMN "adopted_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "node_status" ADD COLUMN "ahead" jsonb;--> statement-breakpoint
ALTER TABLE "node_status" ADD COLUMN "strangers" jsonb DEFAULT '[]'::jsonb NOT NULL;--> statement-breakpoint
-- A generation's mark is random and belongs to it alone. Those are kept that the node may hold: back to the one
-- that it was last seen with, and a few more; no more than 10,000, since some node may never be seen again.
CREATE FUNCTION "mark_generation"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.marks := (gen_random_uuid() || NEW.marks)[1:least(10000, greatest(32, 1 + NEW.generation
		- coalesce((SELECT observed_generation FROM node_status WHERE node_id = NEW.node_id), 0)))];
	RETURN NEW;
END $$;--> statement-breakpoint
CREATE TRIGGER "node_plans_mark" BEFORE UPDATE ON "node_plans" FOR EACH ROW
	WHEN (NEW.generation > OLD.generation) EXECUTE FUNCTION "mark_generation"();
