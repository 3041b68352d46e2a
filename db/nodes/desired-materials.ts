import { type SQL, sql } from "drizzle-orm";
import { fromBase64 } from "../../contract/base64.ts";
import type { NodeId, ProjectId } from "../../contract/ids.ts";
import { type ConfigMapMaterial, versionedName } from "../../contract/material/material.ts";
import { REGISTRY_NAME } from "../../contract/node/protocol.ts";
import { anyOf } from "../any-of.ts";
import type { RowOf } from "../as-json.ts";
import type { Db } from "../client.ts";
import type { SealedContent, SecretPlace } from "../materials/secrets.ts";
import type { ResolvedImages } from "../schema/core.ts";

/*
 * What a node is given beside its pods: the versions that the releases of its wanted pods froze, and
 * nothing that no pod there uses.
 */

/** A secret as it is kept, and what it is called on the node. */
export type WantedSecret = SecretPlace &
  SealedContent & {
    /** The project's name. */
    readonly project: string;
  };

export function wantedConfigMaps(db: Db, nodes: SQL) {
  return db
    .select({
      node: sql<NodeId>`node`,
      project: sql<string>`project`,
      name: sql<string>`name`,
      version: sql<number>`version`,
      data: sql<Record<string, string>>`held.data`,
      binary: sql<Record<string, string>>`held.binary`,
    })
    .from(
      sql`${named(nodes, "configMaps")} join config_maps as held using (project_id, name, version)`,
    )
    .orderBy(sql`project, name, version`);
}

export function configMapOf(row: RowOf<typeof wantedConfigMaps>): ConfigMapMaterial {
  const { project, name, version, data, binary } = row;
  return { project, name: versionedName(name, version), data, binary };
}

export function wantedSecrets(db: Db, nodes: SQL) {
  return db
    .select({
      node: sql<NodeId>`node`,
      projectId: sql<ProjectId>`project_id`,
      project: sql<string>`project`,
      name: sql<string>`name`,
      version: sql<number>`version`,
      kid: sql<string>`held.kid`,
      wrappedKey: sql<string>`encode(held.wrapped_key, 'base64')`,
      sealed: sql<string>`encode(held.sealed, 'base64')`,
    })
    .from(sql`${named(nodes, "secrets")} join secrets as held using (project_id, name, version)`)
    .orderBy(sql`project, name, version`);
}

export function secretOf({
  node: _,
  wrappedKey,
  sealed,
  ...place
}: RowOf<typeof wantedSecrets>): WantedSecret {
  return { ...place, wrappedKey: fromBase64(wrappedKey), sealed: fromBase64(sealed) };
}

/**
 * The images of each app on a node as its newest two releases that served have them: the present one's
 * and the one's before, which a rollback would need.
 */
export function imagesToKeep(db: Db, nodes: SQL) {
  const apps = sql`
    select distinct node_id as node, app_id from pods
    where ${anyOf(sql`node_id`, nodes)} and wanted = 'run'`;
  const newestTwo = sql`
    select image_repository || '@' || image_digest as whole, images
    from releases
    where releases.app_id = there.app_id and phase in ('live', 'retired')
    order by number desc limit 2`;
  return db
    .select({
      node: sql<NodeId>`node`,
      whole: sql<string | null>`whole`,
      images: sql<ResolvedImages | null>`images`,
    })
    .from(sql`(${apps}) as there cross join lateral (${newestTwo}) as served`);
}

/** As a node names them, each once. */
export function imageNames(kept: readonly RowOf<typeof imagesToKeep>[]): string[] {
  const images = kept.flatMap(({ whole, images }) => [whole ?? [], Object.values(images ?? {})]);
  return [...new Set(images.flat().map((image) => `${REGISTRY_NAME}/${image}`))].sort();
}

/** What the releases of each node's wanted pods froze of one kind. */
function named(nodes: SQL, member: "secrets" | "configMaps") {
  return sql`(
    select distinct pods.node_id as node, apps.project_id, projects.name as project,
                    frozen.key as name, frozen.value::int as version
    from pods
    join releases on releases.id = pods.release_id
    join apps on apps.id = pods.app_id
    join projects on projects.id = apps.project_id
    cross join lateral jsonb_each_text(releases.materials -> ${member}::text) as frozen
    where ${anyOf(sql`pods.node_id`, nodes)} and pods.wanted = 'run') as named`;
}
