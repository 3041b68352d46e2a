import { readdir, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { listIfThere, readIfThere, unlessAbsent } from "./files.ts";

const ROOT = "/sys/fs/cgroup";

/** Every folder of the installation's cgroup, in each hierarchy there is; children before parents. */
export async function cgroupFolders(cgroup: string): Promise<readonly string[]> {
  const hierarchies = [ROOT, ...((await listIfThere(ROOT)) ?? []).map((name) => join(ROOT, name))];
  const folders = [];
  for (const hierarchy of hierarchies)
    folders.push(...(await withChildren(join(hierarchy, cgroup))));
  return folders;
}

async function withChildren(folder: string): Promise<readonly string[]> {
  const entries = await unlessAbsent(readdir(folder, { withFileTypes: true }));
  if (entries === undefined) return [];
  const below = [];
  for (const entry of entries) {
    if (entry.isDirectory()) below.push(...(await withChildren(join(folder, entry.name))));
  }
  return [...below, folder];
}

/** The processes in those cgroups. */
export async function processesIn(folders: readonly string[]): Promise<ReadonlySet<number>> {
  const pids = new Set<number>();
  for (const folder of folders) {
    const listed = (await readIfThere(join(folder, "cgroup.procs")).catch(unlessRemoved)) ?? "";
    for (const line of listed.split("\n")) if (line !== "") pids.add(Number(line));
  }
  return pids;
}

/** A group that is removed just when it is read answers so. */
function unlessRemoved(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENODEV") throw error;
}

/** Removes empty cgroups. A process that is still dying keeps one busy for a moment, so it tries for a while. */
export async function removeCgroups(folders: readonly string[]): Promise<void> {
  for (const folder of folders) {
    for (let attempt = 0; !(await removed(folder)); attempt++) {
      if (attempt >= 100) throw new Error(`the cgroup ${folder} stays busy`);
      await sleep(50);
    }
  }
}

async function removed(folder: string): Promise<boolean> {
  try {
    await unlessAbsent(rmdir(folder));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EBUSY") return false;
    throw error;
  }
}
