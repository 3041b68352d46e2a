ALTER TABLE "idempotency_keys" ALTER COLUMN "status" SET NOT NULL;--> statement-breakpoint
ALTER TABLE "idempotency_keys" ALTER COLUMN "body" SET NOT NULL;--> statement-breakpoint
ALTER TABLE "releases" ADD COLUMN "build_interrupted" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
CREATE INDEX "events_at" ON "events" USING btree ("at");--> statement-breakpoint
CREATE INDEX "idempotency_keys_created" ON "idempotency_keys" USING btree ("created_at");--> statement-breakpoint
CREATE INDEX "releases_live" ON "releases" USING btree ("app_id") WHERE "releases"."phase" = 'live';--> statement-breakpoint
ALTER TABLE "pod_status" DROP COLUMN "observed_generation";--> statement-breakpoint
ALTER TABLE "pod_status" DROP COLUMN "seen_at";