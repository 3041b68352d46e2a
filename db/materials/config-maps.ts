import { and, desc, eq, sql } from "drizzle-orm";
import type { ProjectId } from "../../contract/ids.ts";
import type { Tx } from "../client.ts";
import { configMaps } from "../schema/material.ts";

/** Values by key: texts, and bytes as base64. */
export type ConfigMapValues = {
  readonly data: Readonly<Record<string, string>>;
  readonly binary: Readonly<Record<string, string>>;
};

export async function newestConfigMap(
  tx: Tx,
  project: ProjectId,
  name: string,
): Promise<(ConfigMapValues & { readonly version: number }) | undefined> {
  const [row] = await tx
    .select({ version: configMaps.version, data: configMaps.data, binary: configMaps.binary })
    .from(configMaps)
    .where(named(project, name))
    .orderBy(desc(configMaps.version))
    .limit(1);
  return row;
}

/** Of each one the newest version, by name. */
export async function listConfigMaps(tx: Tx, project: ProjectId) {
  return await tx
    .selectDistinctOn([configMaps.name], {
      name: configMaps.name,
      version: configMaps.version,
      keys: sql<
        string[]
      >`array(select jsonb_object_keys(${configMaps.data}) union select jsonb_object_keys(${configMaps.binary}) order by 1)`,
      createdAt: configMaps.createdAt,
    })
    .from(configMaps)
    .where(eq(configMaps.projectId, project))
    .orderBy(configMaps.name, desc(configMaps.version))
    .limit(10_000);
}

// ---- called by api alone, with the name locked -------------------------------------------------------

export async function insertConfigMap(
  tx: Tx,
  version: ConfigMapValues & {
    readonly projectId: ProjectId;
    readonly name: string;
    readonly version: number;
    readonly createdBy: string;
  },
): Promise<void> {
  const { data, binary, ...row } = version;
  await tx.insert(configMaps).values({ ...row, data: { ...data }, binary: { ...binary } });
}

/** Every version goes. */
export async function removeConfigMap(tx: Tx, project: ProjectId, name: string): Promise<void> {
  await tx.delete(configMaps).where(named(project, name));
}

function named(project: ProjectId, name: string) {
  return and(eq(configMaps.projectId, project), eq(configMaps.name, name));
}
