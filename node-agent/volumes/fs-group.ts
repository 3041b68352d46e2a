import { chmod, chown, stat } from "node:fs/promises";

/** Lets a group read and write the root of a volume, and own what is made in it. */
export async function giveToGroup(root: string, group: number | undefined): Promise<void> {
  if (group === undefined) return;
  const { uid, gid, mode } = await stat(root);
  if (gid !== group) await chown(root, uid, group);
  await chmod(root, (mode & 0o7777) | 0o2070);
}
