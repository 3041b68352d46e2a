ALTER TABLE "pod_status" DROP CONSTRAINT "pod_status_node_id_nodes_id_fk";
--> statement-breakpoint
ALTER TABLE "pods" DROP CONSTRAINT "pods_node_id_nodes_id_fk";
--> statement-breakpoint
ALTER TABLE "nodes" ADD COLUMN "most" jsonb DEFAULT '{}'::jsonb NOT NULL;--> statement-breakpoint
ALTER TABLE "tokens" ADD COLUMN "node_most" jsonb;--> statement-breakpoint
CREATE INDEX "audit_actor" ON "audit" USING btree ("actor","at");