import { bigint, boolean, pgTable, text, uuid } from "drizzle-orm/pg-core";
import { now } from "./columns.ts";

/** Written by worker/nodes. One row: since when reports come in as ever, and when a worker last found that they do. */
export const controlPlane = pgTable("control_plane", {
  id: boolean("id").primaryKey().default(true),
  calmSince: now("calm_since"),
  lastPassAt: now("last_pass_at"),
});

/** Written by each worker, which says that it lives. */
export const workers = pgTable("workers", { id: text("id").primaryKey(), seenAt: now("seen_at") });

/** One row: +1 when what one node runs changes the routes of the others, or an address does (by api). */
export const routing = pgTable("routing", {
  id: boolean("id").primaryKey().default(true),
  generation: bigint("generation", { mode: "number" }).notNull(),
  /** Of this generation alone: see `raiseRoutes`. Drawn by a trigger, so that no writer forgets it. */
  mark: uuid("mark").notNull().defaultRandom(),
  /** What nodes' ingresses know one another by: told to nodes, and shown to nobody. */
  ingressKey: uuid("ingress_key").notNull().defaultRandom(),
});
