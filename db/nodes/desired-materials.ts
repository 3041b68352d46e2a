import { eq, sql } from "drizzle-orm";
import type { NodeId, ProjectId } from "../../contract/ids.ts";
import { type ConfigMapMaterial, versionedName } from "../../contract/material/material.ts";
import { REGISTRY_NAME } from "../../contract/node/protocol.ts";
import type { Tx } from "../client.ts";
import type { SealedContent, SecretPlace } from "../materials/secrets.ts";
import { nodes, type ResolvedImages } from "../schema/core.ts";

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

export async function nodeKey(tx: Tx, node: NodeId): Promise<Uint8Array | null> {
  const [row] = await tx
    .select({ publicKey: nodes.publicKey })
    .from(nodes)
    .where(eq(nodes.id, node));
  return row?.publicKey ?? null;
}

export async function wantedConfigMaps(tx: Tx, node: NodeId): Promise<ConfigMapMaterial[]> {
  const rows = await tx.execute<{
    project: string;
    name: string;
    version: number;
    data: Record<string, string>;
    binary: Record<string, string>;
  }>(sql`
    with ${named(node, "configMaps")}
    select named.project, named.name, named.version, held.data, held.binary
    from named join config_maps as held using (project_id, name, version)
    order by 1, 2, 3`);
  return rows.map(({ project, name, version, data, binary }) => ({
    project,
    name: versionedName(name, version),
    data,
    binary,
  }));
}

export async function wantedSecrets(tx: Tx, node: NodeId): Promise<readonly WantedSecret[]> {
  const rows = await tx.execute<{
    project_id: ProjectId;
    project: string;
    name: string;
    version: number;
    kid: string;
    wrapped_key: Uint8Array;
    sealed: Uint8Array;
  }>(sql`
    with ${named(node, "secrets")}
    select named.project_id, named.project, named.name, named.version,
           held.kid, held.wrapped_key, held.sealed
    from named join secrets as held using (project_id, name, version)
    order by 2, 3, 4`);
  return rows.map(({ project_id: projectId, wrapped_key: wrappedKey, ...row }) => ({
    ...row,
    projectId,
    wrappedKey,
  }));
}

/**
 * The images of each app here as its newest two releases that served have them: the present one's and
 * the one's before, which a rollback would need.
 */
export async function imagesToKeep(tx: Tx, node: NodeId): Promise<string[]> {
  const rows = await tx.execute<{ whole: string | null; images: ResolvedImages | null }>(sql`
    with served as (
      select image_repository || '@' || image_digest as whole, images,
             row_number() over (partition by app_id order by number desc) as place
      from releases
      where phase in ('live', 'retired')
        and app_id in (select app_id from pods where node_id = ${node} and wanted = 'run'))
    select whole, images from served where place <= 2`);
  const images = rows.flatMap(({ whole, images }) => [whole ?? [], Object.values(images ?? {})]);
  return [...new Set(images.flat().map((image) => `${REGISTRY_NAME}/${image}`))].sort();
}

/** What the releases of the node's wanted pods froze of one kind. */
function named(node: NodeId, member: "secrets" | "configMaps") {
  return sql`named as (
    select distinct apps.project_id, projects.name as project, frozen.key as name,
                    frozen.value::int as version
    from pods
    join releases on releases.id = pods.release_id
    join apps on apps.id = pods.app_id
    join projects on projects.id = apps.project_id
    cross join lateral jsonb_each_text(releases.materials -> ${member}::text) as frozen
    where pods.node_id = ${node} and pods.wanted = 'run')`;
}
