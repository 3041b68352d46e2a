import { join } from "node:path";
import { listIfThere, readIfThere } from "../files.ts";
import { clusterOf } from "./postgres.ts";

const INSTALLED = "/usr/lib/postgresql";
const OLDEST = 15;

/**
 * The programs of the version that made the cluster, or of the newest one that is installed where
 * there is no cluster yet; undefined where that version is not installed.
 */
export async function findPostgres(home: string): Promise<string | undefined> {
  const versions = ((await listIfThere(INSTALLED)) ?? []).map(Number);
  const made = await readIfThere(join(clusterOf(home), "PG_VERSION"));
  const version = made === undefined ? Math.max(0, ...versions.filter((v) => v > 0)) : Number(made);
  if (version < OLDEST || !versions.includes(version)) return undefined;
  return `${INSTALLED}/${version}/bin`;
}
