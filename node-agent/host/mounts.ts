import { mkdir, readFile } from "node:fs/promises";
import { exec } from "../../kit/exec.ts";

const MOUNT_MS = 10_000;

/** Every mount point of this host, deepest first where they nest. */
export async function mountPoints(): Promise<readonly string[]> {
  const table = await readFile("/proc/self/mountinfo", "utf8");
  return parseMountPoints(table).toReversed();
}

/** The mount points that a mountinfo names, in the order they were mounted. Pure. */
export function parseMountPoints(mountinfo: string): readonly string[] {
  return mountinfo
    .split("\n")
    .map((line) => line.split(" ")[4])
    .filter((path) => path !== undefined)
    .map((path) =>
      path.replaceAll(/\\([0-7]{3})/g, (_, code: string) =>
        String.fromCharCode(Number.parseInt(code, 8)),
      ),
    );
}

/** A tmpfs of `sizeBytes` at `path`: scratch space that any user may write to, and no one may boot from. */
export async function mountTmpfs(path: string, sizeBytes: number): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o755 });
  const options = `size=${sizeBytes},mode=1777,nosuid,nodev`;
  await exec("/usr/bin/mount", ["-t", "tmpfs", "-o", options, "--", "waybill", path], {
    timeoutMs: MOUNT_MS,
  });
}

export async function unmount(path: string): Promise<void> {
  await exec("/usr/bin/umount", ["--", path], { timeoutMs: MOUNT_MS });
}
