import { type FileHandle, mkdir, open, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { bindOpen, mounts, unmount } from "../host/mounts.ts";

/**
 * Shows an open file or folder at `place`, which is a path of ours; one that shows it already stays,
 * and one that shows something else makes room.
 */
export async function bindAt(place: string, source: FileHandle): Promise<void> {
  if ((await mounts()).some((it) => it.path === place)) {
    if (await shows(place, source)) return;
    await unmount(place);
  }
  await makePoint(place, source);
  await bindOpen(source.fd, place);
  if (!(await shows(place, source))) throw new Error(`${place} does not show what was bound there`);
}

async function shows(place: string, source: FileHandle): Promise<boolean> {
  const [wanted, there] = await Promise.all([source.stat(), stat(place)]);
  return wanted.dev === there.dev && wanted.ino === there.ino;
}

async function makePoint(place: string, source: FileHandle): Promise<void> {
  await mkdir(dirname(place), { recursive: true, mode: 0o700 });
  if ((await source.stat()).isDirectory()) await mkdir(place, { recursive: true, mode: 0o700 });
  else await (await open(place, "a", 0o600)).close();
}
