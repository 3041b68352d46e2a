import { sql } from "drizzle-orm";
import type { ProjectId } from "../../contract/ids.ts";
import type { MaterialKind } from "../../contract/pod/material-use.ts";
import type { Tx } from "../client.ts";
import type { Materials } from "../schema/core.ts";
import { configMaps, secrets } from "../schema/material.ts";

export type MissingVersion = {
  readonly kind: MaterialKind;
  readonly name: string;
  readonly version: number;
};

/**
 * Which of these versions are not there any more. Those that are, are held until the transaction ends, in
 * the order in which every release holds them: nobody removes or forgets them meanwhile.
 */
export async function missingVersions(
  tx: Tx,
  project: ProjectId,
  frozen: Materials,
): Promise<readonly MissingVersion[]> {
  return [
    ...(await missing(tx, project, "ConfigMap", frozen.configMaps)),
    ...(await missing(tx, project, "Secret", frozen.secrets)),
  ];
}

async function missing(
  tx: Tx,
  project: ProjectId,
  kind: MaterialKind,
  versions: Materials["secrets"],
): Promise<readonly MissingVersion[]> {
  const asked = Object.entries(versions).map(([name, version]) => ({ name, version }));
  if (asked.length === 0) return [];
  const table = kind === "Secret" ? secrets : configMaps;
  const held = await tx.execute<{ name: string; version: number }>(sql`
    select it.name, it.version from ${table} as it
    join jsonb_to_recordset(${JSON.stringify(asked)}::jsonb) as asked (name text, version int)
      on asked.name = it.name and asked.version = it.version
    where it.project_id = ${project} order by it.name for key share of it`);
  const found = new Set(held.map(({ name, version }) => `${name}.v${version}`));
  return asked
    .filter(({ name, version }) => !found.has(`${name}.v${version}`))
    .map((it) => ({ kind, ...it }));
}
