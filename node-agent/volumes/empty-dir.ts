import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { bytes } from "../../contract/document/units.ts";
import type { Volume } from "../../contract/pod/pod.ts";
import { effectiveLimits } from "../../contract/pod/requests.ts";
import { mountTmpfs } from "../host/mounts.ts";
import { readySizedDisk } from "./sized-disk.ts";
import type { ReadyVolume, Surroundings } from "./volume.ts";
import { readyFolder, rootMode } from "./volume-root.ts";

/**
 * Scratch space of the pod's own: a folder; a tmpfs with `medium: Memory`, never larger than what the
 * pod's containers may take; or, on disk with a limit, a file system of that size in a file, so that
 * the one who writes too much hears of a full disk and nobody else does. One that is there already
 * stays as the pod has left it, its mode and its group, too.
 */
export async function readyEmptyDir(
  name: string,
  { medium, sizeLimit }: NonNullable<Volume["emptyDir"]>,
  { pod, podDir, volumesDir, mounted }: Surroundings,
): Promise<ReadyVolume> {
  const path = join(volumesDir, name);
  const group = pod.spec.securityContext.fsGroup;
  const limit = sizeLimit === undefined ? undefined : bytes(sizeLimit);
  const isMounted = mounted.has(path);
  if (medium === "Memory") {
    const most = effectiveLimits(pod.spec).memoryBytes;
    if (!isMounted) await mountMemory(path, Math.min(limit ?? most, most), group);
  } else if (limit === undefined) await readyFolder(path, group);
  else await readySizedDisk(join(podDir, "disks", name), limit, { path, group, isMounted });
  return { path, readOnly: false };
}

async function mountMemory(path: string, limit: number, group: number | undefined): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  await mountTmpfs(path, limit, [`mode=${rootMode(group).toString(8)}`, `gid=${group ?? 0}`]);
}
