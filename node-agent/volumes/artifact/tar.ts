export type TarEntry = {
  readonly kind: "file" | "folder" | "symlink" | "hardlink" | "other";
  readonly path: string;
  /** What a link leads to, as written. */
  readonly link: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeSeconds: number;
  /** Of a file; to be read to its end, or not at all, before the next entry is asked for. */
  readonly body: AsyncIterable<Buffer>;
};

/** What a header before an entry's own says of it, as text. */
type Said = {
  readonly path?: string;
  readonly linkpath?: string;
  readonly size?: string;
  readonly uid?: string;
  readonly gid?: string;
  readonly mtime?: string;
};

const BLOCK = 512;
/** Room for a path of 4 KiB and some words beside it. */
const MAX_EXTRA_BYTES = 1024 * 1024;
const KINDS: Readonly<Record<string, TarEntry["kind"]>> = {
  "0": "file",
  "\0": "file",
  "7": "file",
  "1": "hardlink",
  "2": "symlink",
  "5": "folder",
};

/**
 * The entries of a tar archive as POSIX and GNU write it, in their order. Throws on one that is cut or
 * broken, and reads to the end of `chunks`, so that whoever checks them sees all of them.
 */
export async function* readTar(chunks: AsyncIterable<Buffer>): AsyncGenerator<TarEntry> {
  const source = openByteSource(chunks);
  let said: Said = {};
  for (;;) {
    const header = await source.take(BLOCK);
    if (header === undefined || header.every((it) => it === 0)) break;
    checkSum(header);
    const size = Number(said.size ?? numberAt(header, 124, 12));
    const type = String.fromCharCode(header[156] ?? 0);
    if (!Number.isSafeInteger(size) || size < 0) throw new Error("the archive has a broken size");
    if ("xgLK".includes(type)) {
      const extra = await extraHeader(source, type, size);
      said = { ...said, ...extra };
      continue;
    }
    const body = source.pass(size);
    yield { ...entryOf(header, type, said), body };
    for await (const _ of body);
    await source.skip(padding(size));
    said = {};
  }
  await source.drain();
}

function entryOf(header: Buffer, type: string, said: Said) {
  const isUstar = textAt(header, 257, 5) === "ustar" && textAt(header, 263, 2) === "00";
  const prefix = isUstar ? textAt(header, 345, 155) : "";
  const name = textAt(header, 0, 100);
  const path = said.path ?? (prefix === "" ? name : `${prefix}/${name}`);
  return {
    // Archives before POSIX spell a folder as a file whose name ends with a slash.
    kind: type === "\0" && path.endsWith("/") ? ("folder" as const) : (KINDS[type] ?? "other"),
    path,
    link: said.linkpath ?? textAt(header, 157, 100),
    mode: numberAt(header, 100, 8),
    uid: Number(said.uid ?? numberAt(header, 108, 8)),
    gid: Number(said.gid ?? numberAt(header, 116, 8)),
    mtimeSeconds: Number(said.mtime ?? numberAt(header, 136, 12)),
  };
}

/** What the next entry is really called, where that does not fit its header. */
async function extraHeader(source: ByteSource, type: string, size: number): Promise<Said> {
  if (size > MAX_EXTRA_BYTES) throw new Error("the archive has a header that is too long");
  const bytes = await source.take(size);
  if (bytes === undefined) throw new Error("the archive is cut off");
  await source.skip(padding(size));
  if (type === "g") return {};
  if (type === "x") return paxRecords(bytes);
  const text = bytes.toString("utf8").replace(/\0.*$/s, "");
  return type === "L" ? { path: text } : { linkpath: text };
}

/** `<length> <key>=<value>\n`, the length counting all of it. */
function paxRecords(bytes: Buffer): Said {
  const records: Record<string, string> = {};
  let at = 0;
  while (at < bytes.length) {
    const space = bytes.indexOf(0x20, at);
    const length = Number(bytes.toString("latin1", at, space));
    if (space < 0 || !Number.isInteger(length) || length <= 0 || at + length > bytes.length)
      throw new Error("the archive has a broken header");
    const [, key = "", value = ""] =
      /^([^=]*)=(.*)\n$/s.exec(bytes.toString("utf8", space + 1, at + length)) ?? [];
    records[key] = value;
    at += length;
  }
  return records;
}

function checkSum(header: Buffer): void {
  let sum = 0;
  for (const [at, byte] of header.entries()) sum += at >= 148 && at < 156 ? 0x20 : byte;
  if (sum !== numberAt(header, 148, 8)) throw new Error("the archive has a broken header");
}

function textAt(header: Buffer, at: number, length: number): string {
  const field = header.subarray(at, at + length);
  const end = field.indexOf(0);
  return field.toString("utf8", 0, end < 0 ? length : end);
}

/** Octal digits, or, where the first bit is set, the bytes of a large number. */
function numberAt(header: Buffer, at: number, length: number): number {
  if (((header[at] ?? 0) & 0x80) === 0)
    return Number.parseInt(textAt(header, at, length).trim() || "0", 8);
  let value = (header[at] ?? 0) & 0x7f;
  for (const byte of header.subarray(at + 1, at + length)) value = value * 256 + byte;
  return value;
}

function padding(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

type ByteSource = ReturnType<typeof openByteSource>;

/** Bytes by number instead of by chunk. */
function openByteSource(chunks: AsyncIterable<Buffer>) {
  const iterator = chunks[Symbol.asyncIterator]();
  let rest: Buffer = Buffer.alloc(0);

  /** At most `most` of what comes next; undefined at the end. */
  async function some(most: number): Promise<Buffer | undefined> {
    while (rest.length === 0) {
      const { done, value } = await iterator.next();
      if (done) return undefined;
      rest = value;
    }
    const part = rest.subarray(0, most);
    rest = rest.subarray(part.length);
    return part;
  }

  async function* pass(size: number): AsyncGenerator<Buffer> {
    for (let left = size; left > 0; ) {
      const part = await some(left);
      if (part === undefined) throw new Error("the archive is cut off");
      left -= part.length;
      yield part;
    }
  }

  return {
    pass,
    /** Exactly so many; undefined where there is not one more. */
    async take(size: number): Promise<Buffer | undefined> {
      const first = await some(size);
      if (first === undefined) return size === 0 ? Buffer.alloc(0) : undefined;
      const parts = [first];
      for await (const part of pass(size - first.length)) parts.push(part);
      return Buffer.concat(parts);
    },
    async skip(size: number): Promise<void> {
      for await (const _ of pass(size));
    },
    async drain(): Promise<void> {
      while ((await some(Number.MAX_SAFE_INTEGER)) !== undefined);
    },
  };
}
