import { chmod, chown, mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * A new folder has this mode from the moment that it is there, and no app gives its own one such a
 * mode: it says that whoever made the folder was killed before it was opened to all.
 */
const UNFINISHED = 0o1000;

/** Any user of the pod may write there, as with Kubernetes; and its group owns what is made there. */
export function rootMode(group: number | undefined): number {
  return group === undefined ? 0o777 : 0o2777;
}

/** A folder for a volume, opened to all once, when it is new: later its mode is the app's. */
export async function readyFolder(path: string, group: number | undefined): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await mkdir(path, { mode: UNFINISHED }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
  const { mode } = await stat(path);
  if ((mode & 0o1777) === UNFINISHED) await openToAll(path, group);
}

/** The mode comes last, since it is the sign that nothing is left to do. */
export async function openToAll(root: string, group: number | undefined): Promise<void> {
  if (group !== undefined) await chown(root, 0, group);
  await chmod(root, rootMode(group));
}

/**
 * Lets a group that a volume was not made for read and write its root, and own what is made in it.
 * Only the root: what lies below may change under the hands of a pod that runs.
 */
export async function giveToGroup(root: string, group: number | undefined): Promise<void> {
  if (group === undefined) return;
  const { uid, gid, mode } = await stat(root);
  if (gid === group) return;
  await chmod(root, (mode & 0o7777) | 0o2070);
  await chown(root, uid, group);
}
