import { mkdir, rename, rmdir, stat, truncate, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { ExecError, exec } from "../../kit/exec.ts";
import { StartError } from "../act/start-error.ts";
import { mountFile, unmount } from "../host/mounts.ts";
import { openToAll } from "./volume-root.ts";

const MKFS_MS = 30_000;
/** All of a file system is looked at, since it has no journal. */
const CHECK_MS = 10 * 60_000;

type Shown = {
  readonly path: string;
  readonly group: number | undefined;
  readonly isMounted: boolean;
};

/**
 * A file system of its own size, in a file that takes room on the disk only as it fills. A file of
 * this name is a whole one, and is never made anew: after a reboot it is checked and used again.
 */
export async function readySizedDisk(
  file: string,
  limit: number,
  { path, group, isMounted }: Shown,
): Promise<void> {
  const isMade = await isThere(file);
  if (isMade && isMounted) return;
  // Of an agent that was killed before it was whole.
  if (isMounted) await unmount(path);
  await mkdir(path, { recursive: true, mode: 0o700 });
  if (isMade) {
    await mend(file);
    await mountFile(file, path);
    return;
  }
  const draft = `${file}.new`;
  await makeFileSystem(draft, limit);
  await mountFile(draft, path);
  await rmdir(join(path, "lost+found"));
  await openToAll(path, group);
  await exec("/usr/bin/sync", ["--file-system", path], { timeoutMs: MKFS_MS });
  await rename(draft, file);
}

async function isThere(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return false;
      throw error;
    },
  );
}

/** First what is safe to mend, then all that can be: only what is torn is lost by that. */
async function mend(file: string): Promise<void> {
  try {
    if ((await isSound(file, "-p")) || (await isSound(file, "-y"))) return;
  } catch (error) {
    throw new StartError("FailedMount", `the ${nameOf(file)} could not be checked`, error);
  }
  const message = `the ${nameOf(file)} is damaged, and what could be mended is not enough; its bytes stay, and a new pod gets a new one`;
  throw new StartError("FailedMount", message);
}

function nameOf(file: string): string {
  return `emptyDir "${basename(file)}"`;
}

async function isSound(file: string, how: "-p" | "-y"): Promise<boolean> {
  try {
    await exec("/usr/sbin/e2fsck", [how, file], { timeoutMs: CHECK_MS });
    return true;
  } catch (error) {
    if (!(error instanceof ExecError) || error.exitCode === undefined) throw error;
    // 1 and 2 are "errors were corrected".
    return error.exitCode < 4;
  }
}

async function makeFileSystem(file: string, limit: number): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  await writeFile(file, "");
  await truncate(file, limit + bookkeeping(limit));
  const options = ["-q", "-F", "-m", "0", "-O", "^has_journal", "-E", "nodiscard,root_owner=0:0"];
  await exec("/usr/sbin/mkfs.ext4", [...options, file], { timeoutMs: MKFS_MS });
}

/** What ext4 needs for itself: its tables of inodes most of all, 256 bytes for every 4 or 16 KiB. */
function bookkeeping(limit: number): number {
  return Math.ceil(limit / 12) + 512 * 1024;
}
