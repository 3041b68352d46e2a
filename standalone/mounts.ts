import { readFile } from "node:fs/promises";
import { ExecError, exec } from "../kit/exec.ts";

/** The mount points of a /proc/self/mountinfo text, in the order of their mounting. Pure. */
export function mountPoints(mountinfo: string): readonly string[] {
  return mountinfo
    .split("\n")
    .map((line) => line.split(" ")[4])
    .filter((point) => point !== undefined)
    .map((point) => point.replace(/\\([0-7]{3})/g, (_, octal: string) => character(octal)));
}

/** Those under one of `folders`, the folders themselves included; the last mounted first. Pure. */
export function mountsUnder(mountinfo: string, folders: readonly string[]): readonly string[] {
  const under = (point: string) =>
    folders.some((folder) => point === folder || point.startsWith(`${folder}/`));
  return mountPoints(mountinfo).filter(under).reverse();
}

export async function isMountPoint(path: string): Promise<boolean> {
  return mountPoints(await readMountinfo()).includes(path);
}

export function readMountinfo(): Promise<string> {
  return readFile("/proc/self/mountinfo", "utf8");
}

/** Takes a mount away; one that is still held, as by a process that is just ending, goes with its last user. */
export async function unmount(point: string): Promise<void> {
  try {
    await exec("/usr/bin/umount", ["--", point], { timeoutMs: 10_000 });
  } catch (error) {
    if (!(error instanceof ExecError)) throw error;
    await exec("/usr/bin/umount", ["--lazy", "--", point], { timeoutMs: 10_000 });
  }
}

function character(octal: string): string {
  return String.fromCharCode(Number.parseInt(octal, 8));
}
