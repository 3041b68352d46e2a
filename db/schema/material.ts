import { sql } from "drizzle-orm";
import {
  bigint,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  uuid,
} from "drizzle-orm/pg-core";
import type { Digest, NodeId } from "../../contract/ids.ts";
import { at, bytea, now } from "./columns.ts";
import { nodes, ofProject } from "./core.ts";

// What releases are made of, and what pods are given beside their images: artifacts, config maps, secrets and named volumes.

// ---- written by api: a version is never changed, and another content is another version -----------

export const artifacts = pgTable(
  "artifacts",
  {
    projectId: ofProject(),
    digest: text("digest").notNull().$type<Digest>(),
    sizeBytes: bigint("size_bytes", { mode: "number" }).notNull(),
    createdAt: now("created_at"),
  },
  (t) => [primaryKey({ name: "artifacts_pkey", columns: [t.projectId, t.digest] })],
);

export const configMaps = pgTable(
  "config_maps",
  {
    projectId: ofProject(),
    name: text("name").notNull(),
    version: integer("version").notNull(),
    data: jsonb("data").notNull().$type<Record<string, string>>(),
    /** Base64. */
    binary: jsonb("binary").notNull().$type<Record<string, string>>(),
    /** What a node that is told of it reads: its content, and its name with what stands around it. */
    wireBytes: integer("wire_bytes")
      .notNull()
      .generatedAlwaysAs(
        sql`128 + octet_length(name) + octet_length("data"::text) + octet_length("binary"::text)`,
      ),
    createdBy: text("created_by").notNull(),
    createdAt: now("created_at"),
  },
  (t) => [primaryKey({ name: "config_maps_pkey", columns: [t.projectId, t.name, t.version] })],
);

/**
 * A secret at rest (security.md section 7): its own AES-256 key, wrapped by the installation's key
 * `kid`, which is never in the database. Both ciphertexts are bound to project, name and version.
 */
export const secrets = pgTable(
  "secrets",
  {
    projectId: ofProject(),
    name: text("name").notNull(),
    version: integer("version").notNull(),
    /** Which keys it has, and no values. */
    keys: text("keys").array().notNull(),
    /** First 8 hex digits of a keyed hash of the content: equal contents of one secret show it. */
    mark: text("mark").notNull(),
    kid: text("kid").notNull(),
    wrappedKey: bytea("wrapped_key").notNull(),
    sealed: bytea("sealed").notNull(),
    /** The same, sealed for a node: 32 bytes more than here, and in base64. */
    wireBytes: integer("wire_bytes")
      .notNull()
      .generatedAlwaysAs(sql`128 + octet_length(name) + 4 * ((octet_length(sealed) + 34) / 3)`),
    createdBy: text("created_by").notNull(),
    createdAt: now("created_at"),
  },
  (t) => [
    primaryKey({ name: "secrets_pkey", columns: [t.projectId, t.name, t.version] }),
    index("secrets_kid").on(t.kid),
  ],
);

/**
 * A named volume. It comes to be with the first app that names it, and gets its node from
 * worker/schedule with the first pod; everything else is api's. Its end has two steps: removed (no
 * app may name it, its bytes stay), then purged (its node deletes them; the row goes with its word).
 */
export const volumes = pgTable(
  "volumes",
  {
    projectId: ofProject(),
    name: text("name").notNull(),
    createdAt: now("created_at"),
    removedAt: at("removed_at"),
    purgeAskedAt: at("purge_asked_at"),
    /** worker/schedule's, and set once; taken away by api alone, when what its node held is given up. */
    nodeId: uuid("node_id")
      .references(() => nodes.id)
      .$type<NodeId>(),
  },
  (t) => [
    primaryKey({ name: "volumes_pkey", columns: [t.projectId, t.name] }),
    index("volumes_node").on(t.nodeId),
  ],
);

/** The installation's keys that something is sealed with, each with a text that only that key opens. */
export const sealingKeys = pgTable("sealing_keys", {
  kid: text("kid").primaryKey(),
  check: bytea("check").notNull(),
  createdAt: now("created_at"),
});
