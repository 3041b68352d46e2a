import { mkdir, realpath, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { exec } from "../kit/exec.ts";
import { makeFolder } from "./furnish.ts";
import { isMountPoint } from "./mounts.ts";
import type { Places } from "./places.ts";

/**
 * The folder of an unprivileged part, on a path that its user can walk: in the data folder itself
 * where everybody may enter its parents, else by a bind mount beside the sockets. So a data folder
 * under /root works too, and nobody's permissions are widened.
 */
export async function homeOf(places: Places, name: string, owner: string): Promise<string> {
  const home = join(places.dataDir, name);
  await makeFolder({ path: home, mode: "0700", owner });
  if (await everybodyMayEnter(await realpath(places.dataDir))) return home;
  const door = join(places.doorsDir, name);
  await makeFolder({ path: places.doorsDir, mode: "0711" });
  if (await isMountPoint(door)) return door;
  await mkdir(door, { recursive: true });
  await exec("/usr/bin/mount", ["--bind", "--", home, door], { timeoutMs: 10_000 });
  await exec("/usr/bin/mount", ["--make-private", "--", door], { timeoutMs: 10_000 });
  return door;
}

async function everybodyMayEnter(path: string): Promise<boolean> {
  const { mode } = await stat(path);
  if ((mode & 0o001) === 0) return false;
  return path === "/" || everybodyMayEnter(dirname(path));
}
