CREATE TABLE "routing" (
	"id" boolean PRIMARY KEY DEFAULT true NOT NULL,
	"generation" bigint NOT NULL
);
--> statement-breakpoint
ALTER TABLE "pods" ADD COLUMN "node_port" integer;