import { sql } from "drizzle-orm";
import {
  bigint,
  bigserial,
  boolean,
  index,
  integer,
  jsonb,
  pgTable,
  text,
  unique,
  uniqueIndex,
  uuid,
} from "drizzle-orm/pg-core";
import type { AppSpec } from "../../contract/app/app-spec.ts";
import type { AppId, Digest, NodeId, PodId, ProjectId, ReleaseId } from "../../contract/ids.ts";
import type { Most } from "../../contract/node/host.ts";
import type { Held, NodeReport, PodStatus, Usage } from "../../contract/node/protocol.ts";
import type { Demands } from "../../contract/placement/demands.ts";
import type { Pod } from "../../contract/pod/pod.ts";
import type { TokenKind } from "../../contract/token.ts";
import { at, bytea, now } from "./columns.ts";

// Every fact of an installation, grouped by who writes it. Wish and sight never share a row; a
// column has one writer, named above its table; generations only grow. Artifacts, config maps, secrets
// and volumes are in material.ts, logs and commands in streams.ts, events and audit in history.ts,
// nudges in outbox.ts.

// ---- wishes: written by api ---------------------------------------------------------------------

export const projects = pgTable("projects", {
  id: uuid("id").primaryKey().defaultRandom().$type<ProjectId>(),
  name: text("name").notNull().unique("projects_name_key"),
  createdAt: now("created_at"),
});

export const ofProject = () =>
  uuid("project_id")
    .notNull()
    .references(() => projects.id)
    .$type<ProjectId>();

export type Scope =
  | "app:read"
  | "app:deploy"
  | "app:admin"
  | "secret:write"
  | "node:admin"
  | "audit:read"
  | "org:admin";

/** Only the hash of a secret is kept. `node` is whose token it is, for the kinds node and join. */
export const tokens = pgTable("tokens", {
  id: text("id").primaryKey(),
  kind: text("kind").notNull().$type<TokenKind>(),
  projectId: ofProject(),
  nodeName: text("node_name"),
  /** What a join token gives its node; null: the node keeps its own. */
  nodeLabels: jsonb("node_labels").$type<Record<string, string>>(),
  nodeMost: jsonb("node_most").$type<Most>(),
  /** The key of the host that used a join token: it alone may ask again. */
  usedBy: bytea("used_by"),
  secretHash: bytea("secret_hash").notNull(),
  last4: text("last4").notNull(),
  scopes: text("scopes").array().notNull().$type<Scope[]>(),
  createdBy: text("created_by").notNull(),
  createdAt: now("created_at"),
  /** A node's also by worker/nodes: it gives time back in which no node could be heard. */
  expiresAt: at("expires_at"),
  lastUsedAt: at("last_used_at"),
  revokedAt: at("revoked_at"),
});

export const apps = pgTable(
  "apps",
  {
    id: uuid("id").primaryKey().defaultRandom().$type<AppId>(),
    projectId: ofProject(),
    name: text("name").notNull(),
    spec: jsonb("spec").notNull().$type<AppSpec>(),
    generation: bigint("generation", { mode: "number" }).notNull(),
    createdAt: now("created_at"),
    updatedAt: now("updated_at"),
    /** A wish to be gone. The name is free at once; the pods go when the scheduler gets to it. */
    deletedAt: at("deleted_at"),
  },
  (t) => [
    uniqueIndex("apps_project_name_key").on(t.projectId, t.name).where(sql`${t.deletedAt} is null`),
  ],
);

export const ofApp = () =>
  uuid("app_id")
    .notNull()
    .references(() => apps.id, { onDelete: "cascade" })
    .$type<AppId>();

export const nodes = pgTable("nodes", {
  id: uuid("id").primaryKey().defaultRandom().$type<NodeId>(),
  name: text("name").notNull().unique("nodes_name_key"),
  labels: jsonb("labels").notNull().$type<Record<string, string>>().default({}),
  cordoned: boolean("cordoned").notNull().default(false),
  draining: boolean("draining").notNull().default(false),
  /** A person's word that the host is off, until its agent joins anew. */
  fencedAt: at("fenced_at"),
  /** As much as it may offer, whatever it reports; an amount that is not named has no bound. */
  most: jsonb("most").notNull().$type<Most>().default({}),
  /** The addresses of its pods: a /24 that no other node has. */
  podRange: text("pod_range").unique("nodes_pod_range_key"),
  joinedAt: now("joined_at"),
  /** X25519, raw: what secrets are sealed to on their way there. */
  publicKey: bytea("public_key"),
});

// ---- releases: inserted by api; moved forward by worker/build, then by worker/schedule -----------

export const PHASES = [
  "pending",
  "building",
  "built",
  "rolling",
  "live",
  "retired",
  "failed",
  "superseded",
  "cancelled",
] as const;
export type Phase = (typeof PHASES)[number];

/** Why a release failed: a stable slug, a sentence for people, and the app's last lines where it ran. */
export type Failure = {
  readonly slug: string;
  readonly message: string;
  readonly log: readonly string[];
};

export type Materials = {
  readonly secrets: Readonly<Record<string, number>>;
  readonly configMaps: Readonly<Record<string, number>>;
};
export const NO_MATERIALS: Materials = { secrets: {}, configMaps: {} };

/** By the name as the spec writes it: `repository@digest` in Waybill's own registry. */
export type ResolvedImages = Readonly<Record<string, string>>;

export const releases = pgTable(
  "releases",
  {
    id: uuid("id").primaryKey().defaultRandom().$type<ReleaseId>(),
    appId: ofApp(),
    number: integer("number").notNull(),
    generation: bigint("generation", { mode: "number" }).notNull(),
    spec: jsonb("spec").notNull().$type<AppSpec>(),
    /** Frozen by api: the version of each secret and config map that the spec names. */
    materials: jsonb("materials").notNull().$type<Materials>().default(NO_MATERIALS),
    /** Asked for by a restart: no pod of an earlier release is taken over, however equal. */
    newPods: boolean("new_pods").notNull().default(false),
    createdBy: text("created_by").notNull(),
    createdAt: now("created_at"),
    phase: text("phase").notNull().$type<Phase>().default("pending"),
    phaseAt: now("phase_at"),
    failure: jsonb("failure").$type<Failure>(),
    supersededBy: integer("superseded_by"),
    cancelledBy: text("cancelled_by"),
    /** Grows with each worker that takes the build; a write of an older attempt is refused. */
    buildAttempt: integer("build_attempt").notNull().default(0),
    /** How many of those attempts ended with the stop of their worker: they are not held against it. */
    buildInterrupted: integer("build_interrupted").notNull().default(0),
    /** Until then its worker holds it, or, after a failure, nobody takes it. */
    buildLeaseUntil: at("build_lease_until"),
    /** The image `repository@digest` and what it was made from, once built. */
    imageRepository: text("image_repository"),
    imageDigest: text("image_digest").$type<Digest>(),
    baseDigest: text("base_digest").$type<Digest>(),
    /** For the sources `image` and `pod`: what each image's name stood for when the release was made. */
    images: jsonb("images").$type<ResolvedImages>(),
    /** Where requests go; null for a release that takes none. */
    httpPort: integer("http_port"),
  },
  (t) => [
    unique("releases_app_number_key").on(t.appId, t.number),
    unique("releases_app_generation_key").on(t.appId, t.generation),
    index("releases_unsettled")
      .on(t.phase)
      .where(sql`${t.phase} in ('pending','building','built','rolling')`),
    index("releases_live").on(t.appId).where(sql`${t.phase} = 'live'`),
  ],
);

// ---- decisions: written by worker/schedule; by api where a person adopts a node -------------------

/** What pods of a release are, but for their names and ids; never changed. An adopted pod gets its new release's. */
export const podTexts = pgTable(
  "pod_texts",
  {
    id: bigserial("id", { mode: "number" }).primaryKey(),
    releaseId: uuid("release_id")
      .notNull()
      .references(() => releases.id, { onDelete: "cascade" })
      .$type<ReleaseId>(),
    spec: jsonb("spec").notNull().$type<Pod>(),
    /** What `spec` asks of a node; null where it was stored before this was: then `spec` says it. */
    demands: jsonb("demands").$type<Demands>(),
    wireBytes: integer("wire_bytes").notNull().generatedAlwaysAs(sql`octet_length(spec::text)`),
  },
  (t) => [index("pod_texts_release").on(t.releaseId)],
);

export const pods = pgTable(
  "pods",
  {
    id: uuid("id").primaryKey().$type<PodId>(),
    appId: ofApp(),
    releaseId: uuid("release_id")
      .notNull()
      .references(() => releases.id, { onDelete: "cascade" })
      .$type<ReleaseId>(),
    /** No foreign key: a pod that ran to its end outlives its node, so that its work is not done again. */
    nodeId: uuid("node_id").notNull().$type<NodeId>(),
    name: text("name").notNull(),
    textId: bigint("text_id", { mode: "number" })
      .notNull()
      .references(() => podTexts.id),
    /** Where its node takes requests of other nodes for it; null for a pod that takes none. */
    nodePort: integer("node_port"),
    wanted: text("wanted").notNull().$type<"run" | "gone">().default("run"),
    createdAt: now("created_at"),
    goneAt: at("gone_at"),
    /** The first generation of its node without it: what the node reports from there on is its end. */
    goneGeneration: bigint("gone_generation", { mode: "number" }),
  },
  (t) => [index("pods_node").on(t.nodeId), index("pods_app").on(t.appId)],
);

/**
 * +1 with every change to what a node should run, by compare-and-set; and by api, without, when what
 * goes with it changes: the node's key, and volumes to purge; and where the node is adopted.
 */
export const nodePlans = pgTable("node_plans", {
  nodeId: uuid("node_id")
    .primaryKey()
    .references(() => nodes.id, { onDelete: "cascade" })
    .$type<NodeId>(),
  generation: bigint("generation", { mode: "number" }).notNull().default(0),
  /** Of this generation and of those before it: see nodes/history.ts. Written by a trigger, so that no writer forgets it. */
  marks: uuid("marks").array().notNull().default([]),
  /** Since when the node is taken in and keeps what nobody here knows: see nodes/adopt.ts. Ended by worker/nodes. */
  adoptedAt: at("adopted_at"),
});

// ---- sight: written by api, from an agent's report -----------------------------------------------

/** What containers take: by pod, and in it by container. */
export type NodeUsage = Readonly<Record<PodId, PodUsage>>;
export type PodUsage = Readonly<Record<string, Usage>>;

/** All that is of use of a pod that nobody here knows. */
export type Stranger = Pick<PodStatus, "pod" | "name" | "phase">;

/** Written with every report: its pages have room for the next version of a row (fillfactor). `protocol`: node/skew.ts. */
export const nodeStatus = pgTable("node_status", {
  nodeId: uuid("node_id")
    .primaryKey()
    .references(() => nodes.id, { onDelete: "cascade" })
    .$type<NodeId>(),
  observedGeneration: bigint("observed_generation", { mode: "number" }).notNull(),
  bootId: text("boot_id").notNull(),
  /** When the report that is believed was made, by a clock of that boot; null: its agent tells no times. */
  sinceBootMs: bigint("since_boot_ms", { mode: "number" }),
  version: text("version").notNull(),
  protocol: integer("protocol").notNull().default(1),
  capacity: jsonb("capacity").notNull().$type<NodeReport["capacity"]>(),
  handlers: text("handlers").array().notNull().default([]),
  usage: jsonb("usage").notNull().$type<NodeUsage>().default({}),
  /** Where other nodes reach it; null where it told none, or one that another node has: `told_address`. */
  address: text("address").unique("node_status_address_key"),
  toldAddress: text("told_address"),
  /** What it holds, where this database never made that: see nodes/history.ts. */
  ahead: jsonb("ahead").$type<Held>(),
  /** Pods that it has, or may have, and of which this database knows nothing. */
  strangers: jsonb("strangers").notNull().$type<readonly Stranger[]>().default([]),
  /** Of the last report that was stored whole: see repetitions.ts. Null where the next one has to be. */
  lastReport: text("last_report"),
  seenAt: now("seen_at"),
});

/** No row for a pod that its node has not, or no longer. `status` is the agent's own word, but for usage; when it was last said, node_status knows. */
export const podStatus = pgTable(
  "pod_status",
  {
    podId: uuid("pod_id")
      .primaryKey()
      .references(() => pods.id, { onDelete: "cascade" })
      .$type<PodId>(),
    nodeId: uuid("node_id").notNull().$type<NodeId>(),
    status: jsonb("status").notNull().$type<PodStatus>(),
    since: now("since"),
  },
  (t) => [index("pod_status_node").on(t.nodeId)],
);
