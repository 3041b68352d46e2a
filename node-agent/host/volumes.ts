import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Pod } from "../../contract/pod.ts";
import { bytes } from "../../contract/units.ts";
import { mountPoints, mountTmpfs, unmount } from "./mounts.ts";

/** Mounts what the pod's volumes need and is not there yet; those of an earlier agent are found again. */
export async function ensureVolumes(pod: Pod, volumesDir: string): Promise<void> {
  if (pod.spec.volumes.length === 0) return;
  const mounted = new Set(await mountPoints());
  await Promise.all(
    pod.spec.volumes.map(async (volume) => {
      const path = join(volumesDir, volume.name);
      if (!mounted.has(path)) await mountTmpfs(path, bytes(volume.emptyDir.sizeLimit) ?? 0);
    }),
  );
}

/** Unmounts everything below the folder, then removes it. Nothing there is fine. */
export async function removeMountedFolder(folder: string): Promise<void> {
  for (const path of await mountPoints()) if (path.startsWith(`${folder}/`)) await unmount(path);
  await rm(folder, { recursive: true, force: true });
}
