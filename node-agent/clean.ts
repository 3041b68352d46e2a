import { readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { orphans, staleLogs, surplusImages } from "./clean-plan.ts";
import { groupsIn, removeCgroup } from "./host/cgroups.ts";
import { removeMountedFolder } from "./host/volumes.ts";
import type { Places } from "./places.ts";
import type { View } from "./run.ts";
import { logFileName } from "./runtime/cri-config.ts";
import type { Runtime } from "./runtime/runtime.ts";

const MAX_LOG_BYTES = 32 * 1024 * 1024;

export type CleanDeps = {
  readonly runtime: Runtime;
  readonly places: Places;
  readonly view: () => View | undefined;
};

/** Bounds every running container's log: beyond 32 MiB it starts anew, and one older part is kept. */
export async function rotateLogs({ runtime, places, view }: CleanDeps): Promise<void> {
  for (const { pod, containers } of view()?.seen ?? []) {
    for (const container of containers.filter((it) => it.state === "running")) {
      const file = join(places.logDir(pod), logFileName(container.name, container.attempt));
      const size = await sizeOf(file);
      // Gone, with an older part beside it: an earlier turn was cut off before the runtime was told.
      const told = size !== undefined || (await sizeOf(`${file}.1`)) === undefined;
      if (told && (size ?? 0) <= MAX_LOG_BYTES) continue;
      if (told) await rename(file, `${file}.1`);
      await runtime.reopenLog(container.id);
    }
  }
}

/**
 * Removes what no wanted pod and no pod still here needs: images, folders, old logs, groups. It lists
 * first and asks who is known afterwards, since a pod is known before its folders are made.
 */
export function openCleaner(deps: CleanDeps): () => Promise<void> {
  const lastWantedAtMs = new Map<string, number>();
  return async () => {
    if (!deps.view()) return;
    await cleanImages(deps, lastWantedAtMs);
    await cleanPods(deps);
    await cleanLogs(deps);
  };
}

async function cleanImages(
  { runtime, view }: CleanDeps,
  lastWantedAtMs: Map<string, number>,
): Promise<void> {
  const images = await runtime.images();
  const now = view();
  // A pod under way may hold an image that no wish names any more.
  if (!now || now.busy.size > 0) return;
  const wanted = new Set(
    now.desired.pods.flatMap((pod) => pod.spec.containers.map((it) => it.image)),
  );
  const nowMs = Date.now();
  for (const image of images) {
    const known = lastWantedAtMs.has(image.id);
    if (!known || image.references.some((it) => wanted.has(it)))
      lastWantedAtMs.set(image.id, nowMs);
  }
  for (const image of surplusImages(images, wanted, lastWantedAtMs, nowMs)) {
    await runtime.removeImage(image.id);
    lastWantedAtMs.delete(image.id);
  }
}

async function cleanPods({ places, view }: CleanDeps): Promise<void> {
  const folders = await namesIn(places.podsDir);
  const groups = await groupsIn(places.cgroup);
  const known = knownPods(view());
  for (const name of orphans(folders, known)) await removeMountedFolder(join(places.podsDir, name));
  const groupNames = new Set([...known].map((uid) => `pod${uid}`));
  for (const name of orphans(groups, groupNames)) await removeCgroup(`${places.cgroup}/${name}`);
}

async function cleanLogs({ places, view }: CleanDeps): Promise<void> {
  const folders = await namesIn(places.logsDir);
  for (const name of orphans(folders, knownPods(view())))
    await rm(join(places.logsDir, name), { recursive: true, force: true });
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

async function sizeOf(file: string): Promise<number | undefined> {
  const found = await stat(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  return found?.size;
}
