import { index, integer, jsonb, pgTable, primaryKey, text, uuid } from "drizzle-orm/pg-core";
import type { NodeId } from "../../contract/ids.ts";
import { at, now } from "./columns.ts";
import { nodes, ofProject } from "./core.ts";

// How callers are told apart: requests that come twice, and agents that have one name. Written by api.

export const idempotencyKeys = pgTable(
  "idempotency_keys",
  {
    projectId: ofProject(),
    tokenId: text("token_id").notNull(),
    key: text("key").notNull(),
    requestHash: text("request_hash").notNull(),
    status: integer("status").notNull(),
    body: jsonb("body").notNull(),
    createdAt: now("created_at"),
  },
  (t) => [
    primaryKey({ name: "idempotency_keys_pkey", columns: [t.projectId, t.tokenId, t.key] }),
    index("idempotency_keys_created").on(t.createdAt),
  ],
);

/** The one agent that speaks for a node: another is refused while this one is heard of. Written all the time (fillfactor). */
export const nodeSessions = pgTable("node_sessions", {
  nodeId: uuid("node_id")
    .primaryKey()
    .references(() => nodes.id, { onDelete: "cascade" })
    .$type<NodeId>(),
  session: uuid("session").notNull(),
  seenAt: now("seen_at"),
  /** The last one that was refused, and when that was put on record. */
  refused: uuid("refused"),
  refusedAt: at("refused_at"),
});
