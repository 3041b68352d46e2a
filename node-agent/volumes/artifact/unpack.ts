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

/** What all parts of one artifact may come to together. */
export type UnpackLimits = { readonly bytes: number; readonly entries: number };
/** An artifact that unpacks to more is a bomb or belongs into a volume of its own. */
export const UNPACK_LIMITS: UnpackLimits = { bytes: 16 * 1024 ** 3, entries: 1_000_000 };
/** As many as the kernel follows. */
const MAX_LINKS = 40;
const WHITEOUT = ".wh.";
const OPAQUE = ".wh..wh..opq";
/** No setuid, no setgid: this host runs none of it. */
const MODES = 0o1777;

/** Fills one folder from the parts of one artifact, in their order. */
export type Unpacker = {
  /**
   * Puts the entries of one layer over what earlier layers left, as a container's runtime does:
   * whiteouts take away, links on the way are followed as if the folder were the root of everything,
   * so that no entry ends up outside. Devices are left out.
   */
  layer(entries: AsyncIterable<TarEntry>): Promise<void>;
  /** A single file, under the name that it was given. */
  file(title: string, chunks: AsyncIterable<Buffer>): Promise<void>;
};

/** `root` must be nobody else's meanwhile. */
export function openUnpacker(root: string, limits: UnpackLimits): Unpacker {
  const count = openCount(limits);

  async function layer(entries: AsyncIterable<TarEntry>): Promise<void> {
    const fresh = new Set<string>();
    for await (const entry of entries) {
      count.entry();
      const names = namesOf(entry.path);
      const name = names.pop();
      if (name === undefined) continue;
      const folder = await folderInside(root, names, count);
      if (name === OPAQUE) await clear(folder, fresh);
      else if (name.startsWith(WHITEOUT)) await whiteOut(folder, name.slice(WHITEOUT.length));
      else await putEntry(root, join(folder, name), entry, count);
      for (let at = join(folder, name); at.length > root.length; at = dirname(at)) fresh.add(at);
    }
  }

  return {
    layer,
    file: (path, body) =>
      layer(
        one({ kind: "file", path, body, link: "", mode: 0o644, uid: 0, gid: 0, mtimeSeconds: 0 }),
      ),
  };
}

type Count = ReturnType<typeof openCount>;

/** Throws as soon as there is too much. Folders on the way that no entry names count as well. */
function openCount(limits: UnpackLimits) {
  let entries = 0;
  let bytes = 0;
  return {
    entry() {
      entries += 1;
      if (entries > limits.entries) throw new Error(`it has more than ${limits.entries} entries`);
    },
    bytes(more: number) {
      bytes += more;
      if (bytes > limits.bytes) throw new Error(`it unpacks to more than ${limits.bytes} bytes`);
    },
  };
}

async function* one<T>(item: T): AsyncGenerator<T> {
  yield item;
}

async function putEntry(root: string, path: string, entry: TarEntry, count: Count): Promise<void> {
  if (entry.kind === "other") return;
  const there = await lstatIfThere(path);
  const stays = entry.kind === "folder" && there?.isDirectory();
  if (there && !stays) await removeTree(path);
  if (entry.kind === "hardlink") return link(await fileInside(root, entry.link, count), path);
  if (entry.kind === "symlink") await symlink(entry.link, path);
  if (entry.kind === "folder" && !stays) await mkdir(path);
  if (entry.kind === "file") await writeBody(path, entry.body, count);
  await lchown(path, entry.uid, entry.gid);
  if (entry.kind !== "symlink") await chmod(path, entry.mode & MODES);
  await lutimes(path, entry.mtimeSeconds, entry.mtimeSeconds);
}

async function writeBody(path: string, body: AsyncIterable<Buffer>, count: Count): Promise<void> {
  const measured = async function* () {
    for await (const chunk of body) {
      count.bytes(chunk.length);
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
async function folderInside(root: string, names: readonly string[], count: Count): Promise<string> {
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
    if (!there) {
      count.entry();
      await mkdir(path, { mode: 0o755 });
    } else if (!there.isDirectory()) throw new Error(`"${names.join("/")}" is no folder`);
    at.push(name);
  }
  return join(root, ...at);
}

async function fileInside(root: string, target: string, count: Count): Promise<string> {
  const names = namesOf(target);
  const name = names.pop() ?? "";
  return join(await folderInside(root, names, count), name);
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
