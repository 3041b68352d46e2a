import { crc32, deflateRawSync } from "node:zlib";

/** One entry of an archive made here. Whatever is left out is honest. */
export type TestEntry = {
  readonly name: string | Buffer;
  readonly content?: string | Buffer;
  /** 8 deflates, 0 stores; another number is only declared. */
  readonly method?: number;
  /** The bytes in the archive, instead of `content` compressed. */
  readonly packed?: Buffer;
  readonly declaredBytes?: number;
  readonly declaredPackedBytes?: number;
  readonly crc?: number;
  /** A Unix mode, such as 0o120777 for a symbolic link. */
  readonly mode?: number;
  readonly flags?: number;
  /** Shares the local header and the bytes of the entry before, as overlapping bombs do. */
  readonly sameBytesAsBefore?: boolean;
};

/** A ZIP archive with these entries, byte for byte as asked, lies included. */
export function zipOf(
  entries: readonly TestEntry[],
  options: { readonly zip64?: boolean; readonly prefix?: Buffer } = {},
): Buffer {
  const parts: Buffer[] = [options.prefix ?? Buffer.alloc(0)];
  const directory: Buffer[] = [];
  let at = parts[0]?.length ?? 0;
  let previousAt = at;
  for (const entry of entries) {
    const name = Buffer.from(entry.name as string);
    const content = Buffer.from((entry.content ?? "") as string);
    const method = entry.method ?? 8;
    const packed = entry.packed ?? (method === 8 ? deflateRawSync(content) : content);
    const headerAt = entry.sameBytesAsBefore ? previousAt : at;
    const shared = Buffer.alloc(26);
    shared.writeUInt16LE(20, 0);
    shared.writeUInt16LE(entry.flags ?? 0x800, 2);
    shared.writeUInt16LE(method, 4);
    shared.writeUInt32LE(entry.crc ?? crc32(content), 10);
    shared.writeUInt32LE(entry.declaredPackedBytes ?? packed.length, 14);
    shared.writeUInt32LE(entry.declaredBytes ?? content.length, 18);
    shared.writeUInt16LE(name.length, 22);
    if (!entry.sameBytesAsBefore) {
      parts.push(signature(0x04034b50), shared, name, packed);
      previousAt = at;
      at += 4 + 26 + name.length + packed.length;
    }
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(((entry.mode ?? 0) << 16) >>> 0, 6);
    tail.writeUInt32LE(headerAt, 10);
    directory.push(signature(0x02014b50), Buffer.from([20, 3]), shared, tail, name);
  }
  const list = Buffer.concat(directory);
  return Buffer.concat([...parts, list, endOf(entries.length, list.length, at, options.zip64)]);
}

/** A small app with a class and a library, as the builds of teams make them. */
export function aWar(options: { readonly version?: string } = {}): Buffer {
  return zipOf([
    { name: "META-INF/" },
    { name: "META-INF/MANIFEST.MF", content: "Manifest-Version: 1.0\n" },
    { name: "index.html", content: "<p>hello</p>\n" },
    { name: "WEB-INF/web.xml", content: "<web-app/>" },
    { name: "WEB-INF/classes/app/Version.class", content: options.version ?? "1" },
    { name: "WEB-INF/lib/b.jar", content: Buffer.alloc(5_000, "b"), method: 0 },
    { name: "WEB-INF/lib/a.jar", content: "a jar" },
  ]);
}

function signature(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function endOf(count: number, listBytes: number, listAt: number, zip64 = false): Buffer {
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  // As writers of the old format do: only 16 bits of the count fit.
  end.writeUInt16LE(count & 0xffff, 8);
  end.writeUInt16LE(count & 0xffff, 10);
  end.writeUInt32LE(listBytes, 12);
  end.writeUInt32LE(listAt, 16);
  if (!zip64) return end;
  const record = Buffer.alloc(56);
  record.writeUInt32LE(0x06064b50, 0);
  record.writeBigUInt64LE(44n, 4);
  record.writeBigUInt64LE(BigInt(count), 24);
  record.writeBigUInt64LE(BigInt(count), 32);
  record.writeBigUInt64LE(BigInt(listBytes), 40);
  record.writeBigUInt64LE(BigInt(listAt), 48);
  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(0x07064b50, 0);
  locator.writeBigUInt64LE(BigInt(listAt + listBytes), 8);
  locator.writeUInt32LE(1, 16);
  return Buffer.concat([record, locator, end]);
}
