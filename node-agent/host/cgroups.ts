import { mkdir, readdir, readFile, rmdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { cpuShares, cpuWeight } from "./cpu-weight.ts";

const ROOT = "/sys/fs/cgroup";
/** Threads and processes of a whole pod; a JVM under load has hundreds, a fork bomb wants millions. */
const PIDS_PER_POD = 4_096;
/** A killed process holds its group until the kernel is done with it. */
const BUSY = { tries: 60, pauseMs: 50 };

/**
 * Makes the group above those of all pods. Together they weigh as much as all cpus that the node
 * offers, and not as one process among those of the host, which starts containers beside them.
 */
export async function ensureNodeCgroup(cgroup: string, offeredCpuMillis: number): Promise<void> {
  const group = await openGroup(cgroup);
  await group.weigh(offeredCpuMillis);
}

/** Weighs the group of a pod that was started before groups had weights. Nothing there is fine. */
export async function weighPodCgroup(cgroup: string, cpuMillis: number): Promise<void> {
  const group = await openGroup(cgroup);
  if (await group.isThere()) await group.weigh(cpuMillis);
}

/**
 * Makes the pod's own group, which weighs what the pod requests, and bounds its processes there, since
 * CRI v1 has no field for that with cgroup v1. The runtime puts its containers below. `memoryBytes`
 * bounds all of the pod together, for handlers that run it as one and do not bound its containers.
 */
export async function ensurePodCgroup(
  cgroup: string,
  { cpuMillis, memoryBytes }: { readonly cpuMillis: number; readonly memoryBytes?: number },
): Promise<void> {
  const { unified, set, weigh } = await openGroup(cgroup);
  await set("pids", "pids.max", PIDS_PER_POD);
  if (memoryBytes !== undefined)
    await set("memory", unified ? "memory.max" : "memory.limit_in_bytes", memoryBytes);
  // A host that takes no weights says so once, of the node's group; its pods run without.
  await weigh(cpuMillis).catch(() => undefined);
}

async function openGroup(cgroup: string) {
  const unified = await exists(join(ROOT, "cgroup.controllers"));
  const set = async (controller: string, file: string, value: number) => {
    const root = join(ROOT, unified ? "" : controller);
    // Where nothing is mounted, Node.js tries for ever to make the folder.
    if (!(await exists(root))) throw new Error(`this host has no cgroups at ${root}`);
    if (unified) await delegateTo(cgroup);
    const folder = join(root, cgroup);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, file), String(value));
  };
  const isThere = () => exists(join(ROOT, unified ? "" : "cpu", cgroup));
  const weigh = (cpuMillis: number) =>
    unified
      ? set("cpu", "cpu.weight", cpuWeight(cpuMillis))
      : set("cpu", "cpu.shares", cpuShares(cpuMillis));
  return { unified, set, weigh, isThere };
}

/** The names of the groups right below this one. */
export async function groupsIn(cgroup: string): Promise<readonly string[]> {
  const unified = await exists(join(ROOT, "cgroup.controllers"));
  return foldersIn(join(ROOT, unified ? "" : "pids", cgroup));
}

/** The processes right in this group. Nothing there is fine. */
export async function processesIn(cgroup: string): Promise<readonly number[]> {
  const unified = await exists(join(ROOT, "cgroup.controllers"));
  return pidsIn(join(ROOT, unified ? "" : "pids", cgroup));
}

/** Removes the group and those below it from every hierarchy. Nothing there is fine. */
export async function removeCgroup(cgroup: string): Promise<void> {
  for (const folder of await groupsBelow(cgroup)) await removeGroup(folder);
}

/** Kills whatever still runs in the group or below: what a runtime that was killed left behind. */
export async function killCgroup(cgroup: string): Promise<void> {
  for (const folder of await groupsBelow(cgroup)) {
    for (const pid of await pidsIn(folder)) kill(pid);
  }
}

/** With cgroup v2 a controller reaches a group only when each one above hands it down. */
async function delegateTo(cgroup: string): Promise<void> {
  let folder = ROOT;
  for (const part of cgroup.split("/").filter(Boolean)) {
    await writeFile(join(folder, "cgroup.subtree_control"), "+pids +memory +cpu");
    folder = join(folder, part);
    await mkdir(folder, { recursive: true });
  }
}

async function pidsIn(folder: string): Promise<readonly number[]> {
  const file = join(folder, "cgroup.procs");
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENODEV") return "";
    throw error;
  });
  return text.split("\n").filter(Boolean).map(Number);
}

/** The group's folders in every hierarchy, deepest first. */
async function groupsBelow(cgroup: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const root of await hierarchies()) await collect(join(root, cgroup), found);
  return found;
}

async function hierarchies(): Promise<readonly string[]> {
  if (await exists(join(ROOT, "cgroup.controllers"))) return [ROOT];
  const entries = await readdir(ROOT, { withFileTypes: true });
  return entries.filter((it) => it.isDirectory()).map((it) => join(ROOT, it.name));
}

/** Only what is there: a hierarchy without the group may be a folder that may only be read, as systemd leaves one. */
async function collect(folder: string, found: string[]): Promise<void> {
  if (!(await exists(folder))) return;
  for (const name of await foldersIn(folder)) await collect(join(folder, name), found);
  found.push(folder);
}

/** None in a folder that is gone: groups go while one looks. */
async function foldersIn(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return [];
      throw error;
    },
  );
  return entries.filter((it) => it.isDirectory()).map((it) => it.name);
}

async function removeGroup(folder: string): Promise<void> {
  for (let turn = 1; ; turn++) {
    try {
      return await rmdir(folder);
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : undefined;
      if (code === "ENOENT") return;
      if (code !== "EBUSY" || turn >= BUSY.tries) throw error;
      await sleep(BUSY.pauseMs);
    }
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
