CREATE TABLE "pod_texts" (
	"id" bigserial PRIMARY KEY NOT NULL,
	"release_id" uuid NOT NULL,
	"spec" jsonb NOT NULL,
	"demands" jsonb,
	"wire_bytes" integer GENERATED ALWAYS AS (octet_length(spec::text)) STORED NOT NULL
);
--> statement-breakpoint
ALTER TABLE "pod_texts" ADD CONSTRAINT "pod_texts_release_id_releases_id_fk" FOREIGN KEY ("release_id") REFERENCES "public"."releases"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "pod_texts_release" ON "pod_texts" USING btree ("release_id");--> statement-breakpoint
-- One for all pods of a release that differ in nothing but their names and ids.
INSERT INTO "pod_texts" ("release_id", "spec")
SELECT DISTINCT ON ("release_id", "spec" #- '{metadata,name}' #- '{metadata,uid}') "release_id", "spec" FROM "pods";--> statement-breakpoint
ALTER TABLE "pods" ADD COLUMN "name" text;--> statement-breakpoint
ALTER TABLE "pods" ADD COLUMN "text_id" bigint;--> statement-breakpoint
UPDATE "pods" SET "name" = "pods"."spec" #>> '{metadata,name}', "text_id" = "pod_texts"."id"
FROM "pod_texts"
WHERE "pod_texts"."release_id" = "pods"."release_id"
	AND "pod_texts"."spec" #- '{metadata,name}' #- '{metadata,uid}' = "pods"."spec" #- '{metadata,name}' #- '{metadata,uid}';--> statement-breakpoint
ALTER TABLE "pods" ALTER COLUMN "name" SET NOT NULL;--> statement-breakpoint
ALTER TABLE "pods" ALTER COLUMN "text_id" SET NOT NULL;--> statement-breakpoint
ALTER TABLE "pods" ADD CONSTRAINT "pods_text_id_pod_texts_id_fk" FOREIGN KEY ("text_id") REFERENCES "public"."pod_texts"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "pods" DROP COLUMN "wire_bytes";--> statement-breakpoint
ALTER TABLE "pods" DROP COLUMN "spec";
