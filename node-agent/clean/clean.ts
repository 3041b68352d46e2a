import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { PodId } from "../../contract/ids.ts";
import type { Places } from "../disk/places.ts";
import { groupsIn, removeCgroup } from "../host/cgroups.ts";
import { removeMountedFolder } from "../host/volumes.ts";
import type { View } from "../run.ts";
import type { ImageCollector } from "./clean-images.ts";
import { orphans, staleLogs } from "./clean-plan.ts";

/** A gone pod's words wait so long for the api to take them. */
const UNSHIPPED_LOGS_MS = 10 * 60_000;

export type CleanDeps = {
  readonly images: Pick<ImageCollector, "relieve">;
  readonly places: Places;
  readonly view: () => View | undefined;
  /** Whether nobody needs the pod's log files any more. */
  readonly isShipped: (pod: PodId) => boolean;
};

/**
 * Removes what no wanted pod and no pod still here needs: folders, old logs, groups, and images where
 * the disk is nearly full. It lists
 * first and asks who is known afterwards, since a pod is known before its folders are made.
 */
export function openCleaner(deps: CleanDeps): () => Promise<void> {
  const logsLeftAtMs = new Map<string, number>();
  return async () => {
    if (!deps.view()) return;
    await deps.images.relieve();
    await cleanPods(deps);
    await cleanLogs(deps, logsLeftAtMs);
  };
}

async function cleanPods({ places, view }: CleanDeps): Promise<void> {
  const folders = await namesIn(places.podsDir);
  const groups = await groupsIn(places.cgroup);
  const known = knownPods(view());
  for (const name of orphans(folders, known)) await removeMountedFolder(join(places.podsDir, name));
  const groupNames = new Set([...known].map((uid) => `pod${uid}`));
  for (const name of orphans(groups, groupNames)) await removeCgroup(`${places.cgroup}/${name}`);
}

async function cleanLogs(
  { places, view, isShipped }: CleanDeps,
  leftAtMs: Map<string, number>,
): Promise<void> {
  const folders = await namesIn(places.logsDir);
  const left = orphans(folders, knownPods(view()));
  for (const name of leftAtMs.keys()) if (!left.includes(name)) leftAtMs.delete(name);
  for (const name of left) {
    const sinceMs = leftAtMs.get(name) ?? Date.now();
    leftAtMs.set(name, sinceMs);
    const pod = PodId.safeParse(name);
    const waits = pod.success && !isShipped(pod.data);
    if (waits && Date.now() - sinceMs < UNSHIPPED_LOGS_MS) continue;
    await rm(join(places.logsDir, name), { recursive: true, force: true });
  }
  for (const name of folders) {
    const folder = join(places.logsDir, name);
    for (const file of staleLogs(await namesIn(folder)))
      await rm(join(folder, file), { force: true });
  }
}

function knownPods(view: View | undefined): ReadonlySet<string> {
  if (!view) throw new Error("nothing was seen yet, so nothing can be told to be left over");
  return new Set<string>([
    ...view.desired.pods.map((it) => it.metadata.uid),
    ...view.seen.map((it) => it.pod),
    ...view.busy,
  ]);
}

async function namesIn(folder: string): Promise<readonly string[]> {
  return readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
}
