/** What a layer's tar says of one file or folder; owner is root, time is 0, so that equal content gives equal bytes. */
export type TarRecord = {
  readonly kind: "file" | "directory";
  /** Relative; without a slash at the end. */
  readonly path: string;
  readonly mode: number;
  readonly bytes: number;
};

const TAR_BLOCK = 512;
/** Two blocks of zeros end an archive. */
export const TAR_END = Buffer.alloc(2 * TAR_BLOCK);

/** The blocks before the content: ustar, and a pax record where ustar has no room for the name. Pure. */
export function tarHeader(record: TarRecord): Buffer {
  const path = record.kind === "directory" ? `${record.path}/` : record.path;
  const fields = {
    mode: record.mode,
    bytes: record.bytes,
    type: record.kind === "file" ? "0" : "5",
  };
  const split = splitPath(path);
  if (split) return block({ ...split, ...fields });
  const pax = paxRecord("path", path);
  const short = { prefix: "", name: "long-name" };
  return Buffer.concat([
    block({ ...short, mode: 0o644, bytes: pax.length, type: "x" }),
    padded(pax),
    block({ ...short, ...fields }),
  ]);
}

/** How many zeros follow content of that many bytes. */
export function tarPadding(bytes: number): number {
  return (TAR_BLOCK - (bytes % TAR_BLOCK)) % TAR_BLOCK;
}

function splitPath(path: string): { prefix: string; name: string } | undefined {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it means all of ASCII.
  if (!/^[\u0000-\u007f]*$/.test(path)) return undefined;
  if (path.length <= 100) return { prefix: "", name: path };
  const cut = path.indexOf("/", path.length - 101);
  if (cut <= 0 || cut > 155 || cut === path.length - 1) return undefined;
  return { prefix: path.slice(0, cut), name: path.slice(cut + 1) };
}

/** "<length> <key>=<value>\n", where the length counts its own digits too. */
function paxRecord(key: string, value: string): Buffer {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  let length = rest + String(rest).length;
  if (String(length).length !== String(rest).length) length += 1;
  return Buffer.from(`${length} ${key}=${value}\n`);
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(tarPadding(bytes.length))]);
}

function block(header: {
  prefix: string;
  name: string;
  mode: number;
  bytes: number;
  type: string;
}): Buffer {
  const out = Buffer.alloc(TAR_BLOCK);
  out.write(header.name, 0, "latin1");
  octal(out, header.mode, 100, 8);
  octal(out, 0, 108, 8);
  octal(out, 0, 116, 8);
  octal(out, header.bytes, 124, 12);
  octal(out, 0, 136, 12);
  out.write("        ", 148, "latin1");
  out.write(header.type, 156, "latin1");
  out.write("ustar\x0000", 257, "latin1");
  octal(out, 0, 329, 8);
  octal(out, 0, 337, 8);
  out.write(header.prefix, 345, "latin1");
  let sum = 0;
  for (const byte of out) sum += byte;
  out.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return out;
}

function octal(out: Buffer, value: number, at: number, width: number): void {
  out.write(value.toString(8).padStart(width - 1, "0"), at, "latin1");
}
