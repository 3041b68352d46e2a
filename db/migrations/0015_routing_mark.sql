ALTER TABLE "routing" ADD COLUMN "mark" uuid DEFAULT gen_random_uuid() NOT NULL;--> statement-breakpoint
-- A number's mark is random and belongs to it alone: two databases that counted alike did not route alike.
CREATE FUNCTION "mark_routing"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.mark := gen_random_uuid();
	RETURN NEW;
END $$;--> statement-breakpoint
CREATE TRIGGER "routing_mark" BEFORE UPDATE ON "routing" FOR EACH ROW
	WHEN (NEW.generation > OLD.generation) EXECUTE FUNCTION "mark_routing"();
