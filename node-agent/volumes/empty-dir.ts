import { chmod, mkdir, rename, rm, stat, truncate, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { bytes } from "../../contract/document/units.ts";
import type { Volume } from "../../contract/pod/pod.ts";
import { effectiveLimits } from "../../contract/pod/requests.ts";
import { ExecError, exec } from "../../kit/exec.ts";
import { mountFile, mountTmpfs } from "../host/mounts.ts";
import { giveToGroup } from "./fs-group.ts";
import type { ReadyVolume, Surroundings } from "./volume.ts";

const MKFS_MS = 30_000;
/** Any user of the pod may write there, as with Kubernetes. */
const FOR_ALL = 0o777;

/**
 * Scratch space of the pod's own: a folder; a tmpfs with `medium: Memory`, never larger than what the
 * pod's containers may take; or, on disk with a limit, a file system of that size in a file, so that
 * the one who writes too much hears of a full disk and nobody else does.
 */
export async function readyEmptyDir(
  name: string,
  { medium, sizeLimit }: NonNullable<Volume["emptyDir"]>,
  around: Surroundings,
): Promise<ReadyVolume> {
  const path = join(around.volumesDir, name);
  const limit = sizeLimit === undefined ? undefined : bytes(sizeLimit);
  if (!around.mounted.has(path)) {
    await mkdir(path, { recursive: true, mode: 0o700 });
    if (medium === "Memory") {
      const size = limit ?? effectiveLimits(around.pod.spec).memoryBytes;
      await mountTmpfs(path, size, ["mode=0777"]);
    } else {
      if (limit !== undefined) await mountSized(join(around.podDir, "disks", name), limit, path);
      await chmod(path, FOR_ALL);
    }
  }
  await giveToGroup(path, around.pod.spec.securityContext.fsGroup);
  return { path, readOnly: false };
}

/** The file takes room on the disk only as it fills. After a reboot it is checked and used again. */
async function mountSized(file: string, limit: number, path: string): Promise<void> {
  if (!(await isSound(file))) await makeFileSystem(file, limit);
  await mountFile(file, path);
  await rm(join(path, "lost+found"), { recursive: true, force: true });
}

async function isSound(file: string): Promise<boolean> {
  if ((await stat(file).catch(() => undefined)) === undefined) return false;
  try {
    await exec("/usr/sbin/e2fsck", ["-p", file], { timeoutMs: MKFS_MS });
    return true;
  } catch (error) {
    // 1 is "errors were corrected".
    return error instanceof ExecError && error.exitCode === 1;
  }
}

async function makeFileSystem(file: string, limit: number): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const draft = `${file}.new`;
  await writeFile(draft, "");
  await truncate(draft, limit + bookkeeping(limit));
  const options = ["-q", "-F", "-m", "0", "-O", "^has_journal", "-E", "nodiscard,root_owner=0:0"];
  await exec("/usr/sbin/mkfs.ext4", [...options, draft], { timeoutMs: MKFS_MS });
  await rename(draft, file);
}

/** What ext4 needs for itself: its tables of inodes most of all, 256 bytes for every 4 or 16 KiB. */
function bookkeeping(limit: number): number {
  return Math.ceil(limit / 12) + 512 * 1024;
}
