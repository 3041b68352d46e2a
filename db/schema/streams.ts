import {
  bigint,
  bigserial,
  boolean,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  unique,
  uuid,
} from "drizzle-orm/pg-core";
import type { NodeId, PodId } from "../../contract/ids.ts";
import type { ExecOutput } from "../../contract/node/exec.ts";
import type { LogLine } from "../../contract/node/logs.ts";
import { at, bytea, now } from "./columns.ts";
import { nodes, ofApp } from "./core.ts";

// What flows: the words of containers, and commands run in them. Written by api, forgotten by worker/sweep.

/** Some lines of one start of one container. No reference to the pod: words outlive it. */
export const logChunks = pgTable(
  "log_chunks",
  {
    /** The order of arrival, by which those who follow go on. */
    id: bigserial("id", { mode: "number" }).primaryKey(),
    appId: ofApp(),
    podId: uuid("pod_id").notNull().$type<PodId>(),
    podName: text("pod_name").notNull(),
    release: integer("release").notNull(),
    container: text("container").notNull(),
    attempt: integer("attempt").notNull(),
    fromByte: bigint("from_byte", { mode: "number" }).notNull(),
    toByte: bigint("to_byte", { mode: "number" }).notNull(),
    dropped: integer("dropped").notNull().default(0),
    lines: jsonb("lines").notNull().$type<readonly LogLine[]>(),
    /** Of `lines` as text, and a little for the row itself: what the retention counts. */
    sizeBytes: integer("size_bytes").notNull(),
    firstAt: now("first_at"),
    lastAt: now("last_at"),
    storedAt: now("stored_at"),
  },
  (t) => [
    unique("log_chunks_place").on(t.podId, t.container, t.attempt, t.fromByte),
    index("log_chunks_app").on(t.appId, t.id),
    index("log_chunks_time").on(t.appId, t.firstAt, t.id),
    index("log_chunks_stored").on(t.storedAt),
  ],
);

/** A command asked for. `exit` is set once, by its agent's word or by who gave up on it. */
export const execSessions = pgTable(
  "exec_sessions",
  {
    id: uuid("id").primaryKey(),
    appId: ofApp(),
    nodeId: uuid("node_id")
      .notNull()
      .references(() => nodes.id, { onDelete: "cascade" })
      .$type<NodeId>(),
    podId: uuid("pod_id").notNull().$type<PodId>(),
    container: text("container").notNull(),
    command: text("command").array().notNull(),
    tty: boolean("tty").notNull(),
    stdin: boolean("stdin").notNull(),
    timeoutSeconds: integer("timeout_seconds").notNull(),
    /** The person's side is over: no more input, and nobody to take output. */
    inputEnded: boolean("input_ended").notNull().default(false),
    abandoned: boolean("abandoned").notNull().default(false),
    /** The last signs of life of both ends; null for an agent that has not taken it up: it is handed out once. */
    agentSeenAt: at("agent_seen_at"),
    personSeenAt: now("person_seen_at"),
    /** The number of the last frame of output that was taken in: what is sent again is not shown twice. */
    outputTo: integer("output_to").notNull().default(-1),
    exit: jsonb("exit").$type<NonNullable<ExecOutput["exit"]>>(),
    createdAt: now("created_at"),
  },
  (t) => [index("exec_sessions_node").on(t.nodeId), index("exec_sessions_created").on(t.createdAt)],
);

/** Frames on their way; deleted once taken, and with their session. */
export const execFrames = pgTable(
  "exec_frames",
  {
    sessionId: uuid("session_id")
      .notNull()
      .references(() => execSessions.id, { onDelete: "cascade" }),
    direction: text("direction").notNull().$type<"in" | "out">(),
    seq: integer("seq").notNull(),
    frame: bytea("frame").notNull(),
  },
  (t) => [primaryKey({ name: "exec_frames_pkey", columns: [t.sessionId, t.direction, t.seq] })],
);
