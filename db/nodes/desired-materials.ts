import { sql } from "drizzle-orm";
import type { NodeId, ProjectId } from "../../contract/ids.ts";
import { type ConfigMapMaterial, versionedName } from "../../contract/material/material.ts";
import { REGISTRY_NAME } from "../../contract/node/protocol.ts";
import { anyOf } from "../any-of.ts";
import type { Tx } from "../client.ts";
import type { SealedContent, SecretPlace } from "../materials/secrets.ts";
import type { ResolvedImages } from "../schema/core.ts";
import { byNode } from "./by-node.ts";

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

export async function wantedConfigMaps(
  tx: Tx,
  ids: readonly NodeId[],
): Promise<ReadonlyMap<NodeId, ConfigMapMaterial[]>> {
  const rows = await tx.execute<{
    node: NodeId;
    project: string;
    name: string;
    version: number;
    data: Record<string, string>;
    binary: Record<string, string>;
  }>(sql`
    with ${named(ids, "configMaps")}
    select named.node, named.project, named.name, named.version, held.data, held.binary
    from named join config_maps as held using (project_id, name, version)
    order by 2, 3, 4`);
  return byNode(rows, ({ project, name, version, data, binary }) => ({
    project,
    name: versionedName(name, version),
    data,
    binary,
  }));
}

export async function wantedSecrets(
  tx: Tx,
  ids: readonly NodeId[],
): Promise<ReadonlyMap<NodeId, readonly WantedSecret[]>> {
  const rows = await tx.execute<{
    node: NodeId;
    project_id: ProjectId;
    project: string;
    name: string;
    version: number;
    kid: string;
    wrapped_key: Uint8Array;
    sealed: Uint8Array;
  }>(sql`
    with ${named(ids, "secrets")}
    select named.node, named.project_id, named.project, named.name, named.version,
           held.kid, held.wrapped_key, held.sealed
    from named join secrets as held using (project_id, name, version)
    order by 3, 4, 5`);
  return byNode(rows, ({ node: _, project_id: projectId, wrapped_key: wrappedKey, ...row }) => ({
    ...row,
    projectId,
    wrappedKey,
  }));
}

/**
 * The images of each app on a node as its newest two releases that served have them: the present one's
 * and the one's before, which a rollback would need.
 */
export async function imagesToKeep(
  tx: Tx,
  ids: readonly NodeId[],
): Promise<ReadonlyMap<NodeId, string[]>> {
  const rows = await tx.execute<{
    node: NodeId;
    whole: string | null;
    images: ResolvedImages | null;
  }>(sql`
    with there as (
      select distinct node_id as node, app_id from pods
      where ${anyOf(sql`node_id`, ids)} and wanted = 'run'),
    served as (
      select app_id, image_repository || '@' || image_digest as whole, images,
             row_number() over (partition by app_id order by number desc) as place
      from releases
      where phase in ('live', 'retired') and app_id in (select app_id from there))
    select node, whole, images from there join served using (app_id) where place <= 2`);
  const images = byNode(rows, ({ whole, images }) => [whole ?? [], Object.values(images ?? {})]);
  return new Map(
    [...images].map(([node, named]) => [
      node,
      [...new Set(named.flat(2).map((image) => `${REGISTRY_NAME}/${image}`))].sort(),
    ]),
  );
}

/** What the releases of each node's wanted pods froze of one kind. */
function named(ids: readonly NodeId[], member: "secrets" | "configMaps") {
  return sql`named as (
    select distinct pods.node_id as node, apps.project_id, projects.name as project,
                    frozen.key as name, frozen.value::int as version
    from pods
    join releases on releases.id = pods.release_id
    join apps on apps.id = pods.app_id
    join projects on projects.id = apps.project_id
    cross join lateral jsonb_each_text(releases.materials -> ${member}::text) as frozen
    where ${anyOf(sql`pods.node_id`, ids)} and pods.wanted = 'run')`;
}
