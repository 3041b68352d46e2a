import { rm } from "node:fs/promises";
import { join } from "node:path";
import { PodId } from "../../contract/ids.ts";
import { eachInTurn } from "../../kit/each-in-turn.ts";
import { namesIn } from "../disk/durable-file.ts";
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
 * the disk is nearly full. It lists first and asks who is known afterwards, since a pod is known
 * before its folders are made. What cannot be removed keeps nothing else here.
 */
export function openCleaner(deps: CleanDeps): () => Promise<void> {
  const logsLeftAtMs = new Map<string, number>();
  return async () => {
    if (!deps.view()) return;
    await eachInTurn(
      [deps.images.relieve, () => cleanPods(deps), () => cleanLogs(deps, logsLeftAtMs)],
      (it) => it(),
    );
  };
}

async function cleanPods({ places, view }: CleanDeps): Promise<void> {
  const folders = await namesIn(places.podsDir);
  const groups = await groupsIn(places.cgroup);
  const known = knownPods(view());
  const groupNames = new Set([...known].map((uid) => `pod${uid}`));
  await eachInTurn(
    [
      ...orphans(folders, known).map((it) => () => removeMountedFolder(join(places.podsDir, it))),
      ...orphans(groups, groupNames).map((it) => () => removeCgroup(`${places.cgroup}/${it}`)),
    ],
    (it) => it(),
  );
}

async function cleanLogs(
  { places, view, isShipped }: CleanDeps,
  leftAtMs: Map<string, number>,
): Promise<void> {
  const folders = await namesIn(places.logsDir);
  const left = orphans(folders, knownPods(view()));
  for (const name of leftAtMs.keys()) if (!left.includes(name)) leftAtMs.delete(name);
  const nowMs = performance.now();
  for (const name of left) leftAtMs.set(name, leftAtMs.get(name) ?? nowMs);
  const waits = (name: string) => {
    const pod = PodId.safeParse(name);
    const isUnshipped = pod.success && !isShipped(pod.data);
    return isUnshipped && nowMs - (leftAtMs.get(name) ?? nowMs) < UNSHIPPED_LOGS_MS;
  };
  await eachInTurn(folders, async (name) => {
    const folder = join(places.logsDir, name);
    if (left.includes(name) && !waits(name)) await rm(folder, { recursive: true, force: true });
    for (const file of staleLogs(await namesIn(folder)))
      await rm(join(folder, file), { force: true });
  });
}

function knownPods(view: View | undefined): ReadonlySet<string> {
  if (!view) throw new Error("nothing was seen yet, so nothing can be told to be left over");
  return new Set<string>([
    ...view.desired.pods.map((it) => it.metadata.uid),
    ...view.seen.map((it) => it.pod),
    ...view.busy,
  ]);
}
