import { sql } from "drizzle-orm";
import type { NodeId, ProjectId } from "../../contract/ids.ts";
import type { Tx } from "../client.ts";
import type { Materials } from "../schema/core.ts";

/*
 * How much each node is told, in bytes as they cross the wire (see contract/node/wish-size.ts). Each
 * version of a config map or secret is known here by a text such as "configMaps/settings.v3".
 */

export type WishSize = {
  readonly node: NodeId;
  /** Those that are wanted there, finished ones with them. */
  readonly pods: number;
  readonly bytes: number;
  /** What it is told already of the project's config maps and secrets. */
  readonly materials: readonly string[];
};

const SIZES = sql`sizes as (
  select 'configMaps' as kind, project_id, name, version, wire_bytes from config_maps
  union all select 'secrets', project_id, name, version, wire_bytes from secrets)`;

/** Of each node with pods. One statement, no locks; a version counts once a node, as it is sent. */
export async function wishSizes(tx: Tx, project: ProjectId): Promise<readonly WishSize[]> {
  const rows = await tx.execute<WishSize>(sql`
    with ${SIZES}, wanted as (
      select node_id, release_id, count(*) as pods, sum(wire_bytes) as bytes
      from pods where wanted = 'run' group by 1, 2),
    named as (
      select distinct wanted.node_id, apps.project_id, it.kind, of.key as name,
                      of.value::int as version
      from wanted
      join releases on releases.id = wanted.release_id
      join apps on apps.id = releases.app_id
      cross join lateral jsonb_each(releases.materials) as it (kind, names)
      cross join lateral jsonb_each_text(it.names) as of),
    parts as (
      select node_id, pods, bytes, null as material from wanted
      union all
      select node_id, 0, wire_bytes,
             case when project_id = ${project} then kind || '/' || name || '.v' || version end
      from named join sizes using (kind, project_id, name, version))
    select node_id as node, sum(pods)::int as pods, sum(bytes)::float8 as bytes,
           array_remove(array_agg(material), null) as materials
    from parts group by 1`);
  return [...rows];
}

/** The bytes of each of these versions that is there. */
export async function materialSizes(
  tx: Tx,
  project: ProjectId,
  frozen: readonly Materials[],
): Promise<ReadonlyMap<string, number>> {
  const asked = frozen.flatMap((materials) =>
    Object.entries(materials).flatMap(([kind, versions]) =>
      Object.entries(versions).map(([name, version]) => ({ kind, name, version })),
    ),
  );
  if (asked.length === 0) return new Map();
  const rows = await tx.execute<{ material: string; bytes: number }>(sql`
    with ${SIZES}
    select distinct kind || '/' || name || '.v' || version as material, wire_bytes as bytes
    from jsonb_to_recordset(${JSON.stringify(asked)}::jsonb) as asked (kind text, name text, version int)
    join sizes using (kind, name, version)
    where project_id = ${project}`);
  return new Map(rows.map(({ material, bytes }) => [material, bytes]));
}

/** How `wishSizes` and `materialSizes` call what a release froze. */
export function materialKeys(materials: Materials): readonly string[] {
  return Object.entries(materials).flatMap(([kind, versions]) =>
    Object.entries(versions).map(([name, version]) => `${kind}/${name}.v${version}`),
  );
}
