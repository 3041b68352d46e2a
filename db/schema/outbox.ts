import { bigserial, pgTable, text } from "drizzle-orm/pg-core";
import { now } from "./columns.ts";

// ---- nudges: inserted by api and worker, deleted by worker/relay ---------------------------------

export const TOPICS = ["build", "schedule"] as const;
export type Topic = (typeof TOPICS)[number];

export const outbox = pgTable("outbox", {
  id: bigserial("id", { mode: "number" }).primaryKey(),
  topic: text("topic").notNull().$type<Topic>(),
  subject: text("subject").notNull(),
  createdAt: now("created_at"),
});
