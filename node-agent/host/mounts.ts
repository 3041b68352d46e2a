import { readFile } from "node:fs/promises";
import { exec } from "../../kit/exec.ts";

const MOUNT_MS = 10_000;

export type Mount = {
  readonly path: string;
  readonly readOnly: boolean;
};

/** Every mount of this host, in the order they were mounted. */
export async function mounts(): Promise<readonly Mount[]> {
  return parseMounts(await readFile("/proc/self/mountinfo", "utf8"));
}

/** Every mount point of this host, deepest first where they nest. */
export async function mountPoints(): Promise<readonly string[]> {
  return (await mounts()).map((it) => it.path).toReversed();
}

/** The mounts that a mountinfo names: `id parent device root path options …`. Pure. */
export function parseMounts(mountinfo: string): readonly Mount[] {
  return mountinfo.split("\n").flatMap((line) => {
    const [, , , , path, options = ""] = line.split(" ");
    if (path === undefined) return [];
    return {
      path: path.replaceAll(/\\([0-7]{3})/g, (_, code: string) =>
        String.fromCharCode(Number.parseInt(code, 8)),
      ),
      readOnly: options.split(",").includes("ro"),
    };
  });
}

/** A tmpfs of at most `sizeBytes` at `path`, which is there; `options` are mount's own. */
export async function mountTmpfs(
  path: string,
  sizeBytes: number,
  options: readonly string[],
): Promise<void> {
  const all = [`size=${sizeBytes}`, "nosuid", "nodev", ...options].join(",");
  await mount(["-t", "tmpfs", "-o", all, "--", "waybill", path]);
}

export async function makeReadOnly(path: string): Promise<void> {
  await mount(["-o", "remount,ro", "--", path]);
}

/** A file system in a file, on a loop device that ends with the mount. */
export async function mountFile(file: string, path: string): Promise<void> {
  await mount(["-t", "ext4", "-o", "loop,nosuid,nodev", "--", file, path]);
}

/**
 * The tree that an open file or folder of this process stands for, seen at `path`, too. The kernel
 * takes the open one itself, so that no name is looked up between a check and this; and what is
 * mounted or unmounted below either of them later is not seen by the other.
 */
export async function bindOpen(fd: number, path: string): Promise<void> {
  const source = `/proc/${process.pid}/fd/${fd}`;
  await mount(["--no-canonicalize", "--rbind", "--make-rprivate", source, path]);
}

/** Takes one mount away with all below it, whoever still holds it, and nothing that it was bound from. */
export async function unmount(path: string): Promise<void> {
  // A bind whose maker was killed before it was private: what is below it is also somewhere else.
  const nested = (await mounts()).some((it) => it.path.startsWith(`${path}/`));
  if (nested) await mount(["--make-rprivate", "--", path]);
  try {
    await umount(["--recursive", "--", path]);
  } catch (error) {
    // Somebody stands in it: it leaves the tree now and ends with its last user.
    if (!String(error).includes("target is busy")) throw error;
    await umount(["--recursive", "--lazy", "--", path]);
  }
}

async function mount(argv: readonly string[]): Promise<void> {
  await exec("/usr/bin/mount", argv, { timeoutMs: MOUNT_MS });
}

async function umount(argv: readonly string[]): Promise<void> {
  await exec("/usr/bin/umount", argv, { timeoutMs: MOUNT_MS });
}
