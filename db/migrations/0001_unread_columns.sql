ALTER TABLE "idempotency_keys" ALTER COLUMN "status" SET NOT NULL;--> statement-breakpoint
ALTER TABLE "idempotency_keys" ALTER COLUMN "body" SET NOT NULL;--> statement-breakpoint
CREATE INDEX "releases_live" ON "releases" USING btree ("app_id") WHERE "releases"."phase" = 'live';--> statement-breakpoint
ALTER TABLE "pod_status" DROP COLUMN "observed_generation";--> statement-breakpoint
ALTER TABLE "pod_status" DROP COLUMN "seen_at";