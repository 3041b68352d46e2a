import { sql } from "drizzle-orm";
import type { ProjectId } from "../../contract/ids.ts";
import type { Tx } from "../client.ts";
import type { Materials } from "../schema/core.ts";

/* How much each node is told, in bytes as they cross the wire (see contract/node/wish-size.ts). */

/** What a release of this project froze. */
export type Frozen = { readonly project: ProjectId; readonly materials: Materials };

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

/** The bytes of each of these versions that is there. */
export async function versionSizes(
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
