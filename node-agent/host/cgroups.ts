import { mkdir, readdir, rmdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";

const ROOT = "/sys/fs/cgroup";
/** Threads and processes of a whole pod; a JVM under load has hundreds, a fork bomb wants millions. */
const PIDS_PER_POD = 4_096;

/**
 * Makes the pod's own group and bounds its processes there, since CRI v1 has no field for that with
 * cgroup v1. The runtime puts its containers below.
 */
export async function ensurePodCgroup(cgroup: string): Promise<void> {
  const unified = await exists(join(ROOT, "cgroup.controllers"));
  if (unified) await delegatePids(cgroup);
  const folder = join(ROOT, unified ? "" : "pids", cgroup);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "pids.max"), String(PIDS_PER_POD));
}

/** Removes the group and those below it from every hierarchy. Nothing there is fine. */
export async function removeCgroup(cgroup: string): Promise<void> {
  for (const root of await hierarchies()) await removeTree(join(root, cgroup));
}

/** With cgroup v2 a controller reaches a group only when each one above hands it down. */
async function delegatePids(cgroup: string): Promise<void> {
  let folder = ROOT;
  for (const part of cgroup.split("/").filter(Boolean)) {
    await writeFile(join(folder, "cgroup.subtree_control"), "+pids +memory +cpu");
    folder = join(folder, part);
    await mkdir(folder, { recursive: true });
  }
}

async function hierarchies(): Promise<readonly string[]> {
  if (await exists(join(ROOT, "cgroup.controllers"))) return [ROOT];
  const entries = await readdir(ROOT, { withFileTypes: true });
  return entries.filter((it) => it.isDirectory()).map((it) => join(ROOT, it.name));
}

async function removeTree(folder: string): Promise<void> {
  if (!(await exists(folder))) return;
  const entries = await readdir(folder, { withFileTypes: true });
  for (const entry of entries) if (entry.isDirectory()) await removeTree(join(folder, entry.name));
  await rmdir(folder);
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
