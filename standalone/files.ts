import { open, readdir, readFile, rename } from "node:fs/promises";
import { dirname } from "node:path";

/** Suffix of a file that is still being written. */
export const UNFINISHED = ".unfinished";

/** Writes a file that only root reads, whole or not at all, whatever crashes in between. */
export async function writeDurably(path: string, text: string): Promise<void> {
  const unfinished = path + UNFINISHED;
  const file = await open(unfinished, "w", 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(unfinished, path);
  const folder = await open(dirname(path), "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** The text of a file, or undefined where there is no such file. */
export function readIfThere(path: string): Promise<string | undefined> {
  return unlessAbsent(readFile(path, "utf8"));
}

/** The names in a folder, or undefined where there is no such folder. */
export function listIfThere(path: string): Promise<readonly string[] | undefined> {
  return unlessAbsent(readdir(path));
}

/** Turns "there is no such file" into undefined, and lets every other failure through. */
export async function unlessAbsent<T>(looking: Promise<T>): Promise<T | undefined> {
  try {
    return await looking;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}
