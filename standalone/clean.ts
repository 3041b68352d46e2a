import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { cgroupFolders, processesIn, removeCgroups } from "./cgroups.ts";
import { mountsUnder, readMountinfo, unmount } from "./mounts.ts";
import { removeBridge, removeMasquerade } from "./network.ts";
import type { Places } from "./places.ts";
import { endProcess, identify } from "./processes.ts";
import type { Say } from "./progress.ts";

export type Traces = {
  readonly places: Places;
  readonly bridge: string;
  /** The name of the pods' CNI network. */
  readonly network: string;
};

/**
 * Removes whatever the orderly way left: it may have been killed in the middle, or the machine may
 * have. Touches only what carries this installation's name; says what it had to remove.
 */
export async function cleanUp({ places, bridge, network }: Traces, say: Say): Promise<void> {
  const tell = (count: number, what: string) => {
    if (count > 0) say(`removed ${count} ${what}${count === 1 ? "" : "s"}`);
  };
  tell(await killAll(await ownProcesses(places)), "leftover process");
  tell(await killAll(await processesIn(await cgroupFolders(places.cgroup))), "process of a pod");
  tell(await unmountAll(places), "mount");
  tell(await removeBridge(bridge), "network link");
  tell(await removeMasquerade(network), "address translation");
  const cgroups = await cgroupFolders(places.cgroup);
  await removeCgroups(cgroups);
  tell(cgroups.length, "cgroup");
  for (const folder of [places.runDir, places.doorsDir, places.recordsDir]) {
    await rm(folder, { recursive: true, force: true });
  }
}

/** What the configuration of a part is called, below the data folder. */
const CONFIGS = [
  "redis/redis.conf",
  "registry/config.yml",
  "caddy/first.json",
  "front/first.json",
  "containerd/config.toml",
];

/**
 * Shims, what our tools forgot, and parts that nobody recorded. Known by what only they are given: a
 * path beside the sockets, a configuration of ours, or our cache of compiled code.
 */
async function ownProcesses(places: Places): Promise<ReadonlySet<number>> {
  const { dataDir, runDir, doorsDir, cacheDir } = places;
  const configs = CONFIGS.map((name) => join(dataDir, name));
  const words = [`${runDir}/`, `${doorsDir}/`, ...configs];
  const cache = `NODE_COMPILE_CACHE=${cacheDir}`;
  const pids = new Set<number>();
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    const commandLine = await readFile(`/proc/${name}/cmdline`, "utf8").catch(gone);
    const environment = await readFile(`/proc/${name}/environ`, "utf8").catch(gone);
    const named = words.some((word) => commandLine.includes(word));
    if (named || environment.split("\0").includes(cache)) pids.add(Number(name));
  }
  return pids;
}

/** A process that ended while it was looked at names nothing, and one that even root may not look into is not ours. */
function gone(error: NodeJS.ErrnoException): string {
  if (["ENOENT", "ESRCH", "EACCES", "EPERM"].includes(error.code ?? "")) return "";
  throw error;
}

async function killAll(pids: ReadonlySet<number>): Promise<number> {
  const found = [...pids].map(identify).filter((target) => target !== undefined);
  for (const target of found) await endProcess(target, { signal: "SIGKILL", graceMs: 5_000 });
  return found.length;
}

async function unmountAll({ dataDir, runDir, doorsDir }: Places): Promise<number> {
  // Not all of the data folder: an operator may have mounted a disk in it.
  const ours = ["containerd", "worker", "node-agent"].map((name) => join(dataDir, name));
  const folders = [...ours, runDir, doorsDir];
  const points = mountsUnder(await readMountinfo(), folders);
  for (const point of points) await unmount(point);
  return points.length;
}
