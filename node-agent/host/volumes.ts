import { exec } from "../../kit/exec.ts";
import { mounts, unmount } from "./mounts.ts";

const REMOVE_MS = 10 * 60_000;

/**
 * Unmounts everything below the folder, then removes it. Nothing there is fine. A folder in which
 * something stays mounted is not touched: what lies there may be somebody's own.
 */
export async function removeMountedFolder(folder: string): Promise<void> {
  const below = async () => (await mounts()).filter((it) => it.path.startsWith(`${folder}/`));
  const paths = new Set((await below()).map((it) => it.path));
  for (const path of paths)
    if (![...paths].some((it) => path.startsWith(`${it}/`))) await unmount(path);
  const [left] = await below();
  if (left) throw new Error(`${left.path} is still mounted`);
  await removeTree(folder);
}

/**
 * Removes a folder that a pod could write to: follows no link, crosses into no mount, and is not
 * stopped by paths that are too long for one call, which is more than Node.js' own does.
 */
export async function removeTree(folder: string): Promise<void> {
  await exec("/usr/bin/rm", ["-rf", "--one-file-system", "--", folder], { timeoutMs: REMOVE_MS });
}
