import { bigserial, index, pgTable, text, uuid } from "drizzle-orm/pg-core";
import type { ProjectId, ReleaseId } from "../../contract/ids.ts";
import { now } from "./columns.ts";
import { ofApp, releases } from "./core.ts";

// ---- history: appended by anyone, changed by nobody, forgotten by worker/sweep -------------------

export const events = pgTable(
  "events",
  {
    id: bigserial("id", { mode: "number" }).primaryKey(),
    appId: ofApp(),
    releaseId: uuid("release_id")
      .references(() => releases.id, { onDelete: "cascade" })
      .$type<ReleaseId>(),
    type: text("type").notNull(),
    message: text("message").notNull(),
    at: now("at"),
  },
  (t) => [
    index("events_app").on(t.appId, t.id),
    index("events_release").on(t.releaseId, t.id),
    index("events_at").on(t.at),
  ],
);

/** One row per change and per denied change; `before` and `after` are hashes, never values. */
export const audit = pgTable(
  "audit",
  {
    seq: bigserial("seq", { mode: "number" }).primaryKey(),
    at: now("at"),
    projectId: uuid("project_id").$type<ProjectId>(),
    actor: text("actor").notNull(),
    action: text("action").notNull(),
    object: text("object").notNull(),
    requestId: text("request_id").notNull(),
    ip: text("ip"),
    result: text("result").notNull(),
    before: text("before"),
    after: text("after"),
  },
  (t) => [index("audit_actor").on(t.actor, t.at)],
);
