import { sql } from "drizzle-orm";
import type { NodeId, ProjectId } from "../../contract/ids.ts";
import type { WishSize } from "../../contract/placement/wish.ts";
import type { Tx } from "../client.ts";
import type { Materials } from "../schema/core.ts";

/* How much each node is told, in bytes as they cross the wire (see contract/node/wish-size.ts). */

/** What a release of this project froze. */
export type Frozen = { readonly project: ProjectId; readonly materials: Materials };

export type WishSizes = {
  /** No entry for a node that is told of no pod. */
  readonly nodes: ReadonlyMap<NodeId, WishSize>;
  /** The bytes of each version that is there, of those that the nodes are told and those asked for. */
  readonly versions: ReadonlyMap<string, number>;
};

/** No locks. A version counts once a node, as it is sent. */
export async function wishSizes(tx: Tx, asked: readonly Frozen[]): Promise<WishSizes> {
  const told = await tx.execute<Frozen & { node: NodeId; pods: number; bytes: number }>(sql`
    select node_id as node, project_id as project, materials,
           count(*)::int as pods, sum(wire_bytes)::float8 as bytes
    from pods
    join releases on releases.id = pods.release_id
    join apps on apps.id = pods.app_id
    where pods.wanted = 'run' group by node_id, releases.id, project_id`);
  const versions = await versionSizes(tx, [...told, ...asked]);
  const nodes = new Map<NodeId, { pods: number; bytes: number; materials: Set<string> }>();
  for (const { node, pods, bytes, ...frozen } of told) {
    const sum = nodes.get(node) ?? { pods: 0, bytes: 0, materials: new Set() };
    nodes.set(node, sum);
    sum.pods += pods;
    sum.bytes += bytes;
    for (const key of versionKeys(frozen)) {
      if (!sum.materials.has(key)) sum.bytes += versions.get(key) ?? 0;
      sum.materials.add(key);
    }
  }
  return { nodes, versions };
}

/** How each version that the release froze is called here. */
export function versionKeys(frozen: Frozen): readonly string[] {
  return versionsOf(frozen).map(keyOf);
}

type Version = { project: ProjectId; kind: string; name: string; version: number };

function versionsOf({ project, materials }: Frozen): readonly Version[] {
  return Object.entries(materials).flatMap(([kind, versions]) =>
    Object.entries(versions).map(([name, version]) => ({ project, kind, name, version })),
  );
}

function keyOf({ project, kind, name, version }: Version): string {
  return `${project}/${kind}/${name}.v${version}`;
}

async function versionSizes(
  tx: Tx,
  frozen: readonly Frozen[],
): Promise<ReadonlyMap<string, number>> {
  const asked = new Map(frozen.flatMap(versionsOf).map((it) => [keyOf(it), it]));
  if (asked.size === 0) return new Map();
  const rows = await tx.execute<Version & { bytes: number }>(sql`
    with asked as (
      select * from jsonb_to_recordset(${JSON.stringify([...asked.values()])}::jsonb)
        as it (project uuid, kind text, name text, version int))
    select asked.*, held.wire_bytes as bytes
    from asked join config_maps as held on kind = 'configMaps' and held.project_id = project
      and held.name = asked.name and held.version = asked.version
    union all
    select asked.*, held.wire_bytes
    from asked join secrets as held on kind = 'secrets' and held.project_id = project
      and held.name = asked.name and held.version = asked.version`);
  return new Map(rows.map((row) => [keyOf(row), row.bytes]));
}
