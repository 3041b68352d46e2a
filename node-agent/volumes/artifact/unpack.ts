import { createWriteStream } from "node:fs";
import {
  chmod,
  lchown,
  link,
  lstat,
  lutimes,
  mkdir,
  readdir,
  readlink,
  symlink,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { removeTree } from "../../host/volumes.ts";
import type { TarEntry } from "./tar.ts";

/** An archive that unpacks to more is a bomb or belongs into a volume of its own. */
export const MAX_UNPACKED_BYTES = 16 * 1024 ** 3;
const MAX_ENTRIES = 1_000_000;
/** As many as the kernel follows. */
const MAX_LINKS = 40;
const WHITEOUT = ".wh.";
const OPAQUE = ".wh..wh..opq";
/** No setuid, no setgid: this host runs none of it. */
const MODES = 0o1777;

/**
 * Puts the entries of one layer over what earlier layers left in `root`, as a container's runtime
 * does: whiteouts take away, links on the way are followed as if `root` were the root of everything,
 * so that no entry ends up outside. `root` must be nobody else's meanwhile. Devices are left out.
 */
export async function unpackLayer(root: string, entries: AsyncIterable<TarEntry>): Promise<void> {
  const fresh = new Set<string>();
  let count = 0;
  let bytes = 0;
  const counted = (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > MAX_UNPACKED_BYTES)
      throw new Error(`it unpacks to more than ${MAX_UNPACKED_BYTES} bytes`);
  };
  for await (const entry of entries) {
    count += 1;
    if (count > MAX_ENTRIES) throw new Error(`it has more than ${MAX_ENTRIES} entries`);
    const names = namesOf(entry.path);
    const name = names.pop();
    if (name === undefined) continue;
    const folder = await folderInside(root, names);
    if (name === OPAQUE) await clear(folder, fresh);
    else if (name.startsWith(WHITEOUT)) await whiteOut(folder, name.slice(WHITEOUT.length));
    else await putEntry(root, join(folder, name), entry, counted);
    for (let at = join(folder, name); at.length > root.length; at = dirname(at)) fresh.add(at);
  }
}

/** A single file of an artifact, under the name that it was given. */
export async function unpackFile(
  root: string,
  title: string,
  chunks: AsyncIterable<Buffer>,
): Promise<void> {
  const plain = { link: "", mode: 0o644, uid: 0, gid: 0, mtimeSeconds: 0 };
  const entry: TarEntry = { kind: "file", path: title, ...plain, body: chunks };
  await unpackLayer(root, one(entry));
}

async function* one<T>(item: T): AsyncGenerator<T> {
  yield item;
}

async function putEntry(
  root: string,
  path: string,
  entry: TarEntry,
  counted: (chunk: Buffer) => void,
): Promise<void> {
  if (entry.kind === "other") return;
  const there = await lstatIfThere(path);
  const stays = entry.kind === "folder" && there?.isDirectory();
  if (there && !stays) await removeTree(path);
  if (entry.kind === "hardlink") return link(await fileInside(root, entry.link), path);
  if (entry.kind === "symlink") await symlink(entry.link, path);
  if (entry.kind === "folder" && !stays) await mkdir(path);
  if (entry.kind === "file") await writeBody(path, entry.body, counted);
  await lchown(path, entry.uid, entry.gid);
  if (entry.kind !== "symlink") await chmod(path, entry.mode & MODES);
  await lutimes(path, entry.mtimeSeconds, entry.mtimeSeconds);
}

async function writeBody(
  path: string,
  body: AsyncIterable<Buffer>,
  counted: (chunk: Buffer) => void,
): Promise<void> {
  const measured = async function* () {
    for await (const chunk of body) {
      counted(chunk);
      yield chunk;
    }
  };
  await pipeline(measured, createWriteStream(path, { flags: "wx" }));
}

/** The parts of an entry's path, which must not lead up. */
function namesOf(path: string): string[] {
  const names = path.split("/").filter((it) => it !== "" && it !== ".");
  if (names.includes("..") || path.includes("\0"))
    throw new Error(`the entry "${path}" leads out of its folder`);
  return names;
}

/** The folder that the names lead to, made where it is missing; a link's `..` stops at `root`. */
async function folderInside(root: string, names: readonly string[]): Promise<string> {
  let at: string[] = [];
  let links = 0;
  const todo = [...names];
  for (let name = todo.shift(); name !== undefined; name = todo.shift()) {
    if (name === "..") {
      at.pop();
      continue;
    }
    const path = join(root, ...at, name);
    const there = await lstatIfThere(path);
    if (there?.isSymbolicLink()) {
      links += 1;
      if (links > MAX_LINKS) throw new Error(`the links at "${names.join("/")}" do not end`);
      const target = await readlink(path);
      if (target.startsWith("/")) at = [];
      todo.unshift(...target.split("/").filter((it) => it !== "" && it !== "."));
      continue;
    }
    if (!there) await mkdir(path, { mode: 0o755 });
    else if (!there.isDirectory()) throw new Error(`"${names.join("/")}" is no folder`);
    at.push(name);
  }
  return join(root, ...at);
}

async function fileInside(root: string, target: string): Promise<string> {
  const names = namesOf(target);
  const name = names.pop() ?? "";
  return join(await folderInside(root, names), name);
}

/** What the layers before left in a folder goes; what this layer has put there stays. */
async function clear(folder: string, fresh: ReadonlySet<string>): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    if (!fresh.has(path)) await removeTree(path);
    else if ((await lstat(path)).isDirectory()) await clear(path, fresh);
  }
}

async function whiteOut(folder: string, name: string): Promise<void> {
  if (name === "" || name === "." || name === ".." || name.startsWith(WHITEOUT)) return;
  await removeTree(join(folder, name));
}

async function lstatIfThere(path: string) {
  return lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
}
