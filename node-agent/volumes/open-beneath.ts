import { constants } from "node:fs";
import { chmod, type FileHandle, mkdir, open } from "node:fs/promises";

/** Opens to point at something, not to read it: no device is touched, and a link is itself. */
const O_PATH = 0o10000000;

/** A step on the way is not what it has to be; `message` says which and why. */
export class PathError extends Error {}

/**
 * The file or folder at `path` below the folder `root`, opened to be pointed at: step by step, each
 * one within the folder opened before it, and none of them through a link, so that nothing that
 * happens meanwhile leads out of `root`. `make` makes the folders that are missing, with this mode.
 */
export async function openBeneath(
  root: string,
  path: string,
  make: { readonly mode: number } | undefined,
): Promise<FileHandle> {
  let at = await open(root, O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  for (const name of path.split("/").filter((it) => it !== "" && it !== ".")) {
    const folder = at;
    try {
      at = await openStep(folder, name, make);
    } finally {
      await folder.close();
    }
  }
  return at;
}

async function openStep(
  folder: FileHandle,
  name: string,
  make: { readonly mode: number } | undefined,
): Promise<FileHandle> {
  if (name === "..") throw new PathError('".." leads out of the volume');
  const path = `/proc/self/fd/${folder.fd}/${name}`;
  const made = make !== undefined && (await madeFolder(path, make.mode));
  const step = await open(path, O_PATH | constants.O_NOFOLLOW).catch((error: unknown) => {
    throw explained(error, name);
  });
  try {
    const found = await step.stat();
    if (found.isSymbolicLink())
      throw new PathError(`"${name}" is a link, and links are not followed here`);
    // By the open folder itself: its name may stand for another one by now, and not for a file.
    if (made && found.isDirectory()) await chmod(`/proc/self/fd/${step.fd}`, make.mode);
    return step;
  } catch (error) {
    await step.close();
    throw error;
  }
}

async function madeFolder(path: string, mode: number): Promise<boolean> {
  try {
    await mkdir(path, { mode });
    return true;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    // Whoever opens it next says what is wrong; without an entry the folder is gone meanwhile.
    if (["EEXIST", "EROFS", "ENOTDIR", "ENOENT"].includes(String(code))) return false;
    throw error;
  }
}

function explained(error: unknown, name: string): unknown {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ENOENT") return new PathError(`there is no "${name}"`);
  if (code === "ENOTDIR") return new PathError(`what "${name}" should be in is no folder`);
  if (code === "ENAMETOOLONG") return new PathError(`"${name}" is too long for a name`);
  return error;
}
