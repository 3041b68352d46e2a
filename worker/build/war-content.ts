import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { crc32, createInflateRaw, inflateRawSync } from "node:zlib";
import { type FileWindow, PIECE_BYTES } from "./file-window.ts";
import { bombBytes, entryBomb, LOCAL_HEADER_BYTES, overlap, type WarEntry } from "./war-entries.ts";
import { shownName, WarRefused } from "./war-problem.ts";

/** Takes bytes in order; must be done with a chunk when its promise resolves. */
export type Sink = (chunk: Buffer) => Promise<void>;

/**
 * Hands the content of a file to `sink`: exactly `entry.inflatedBytes` bytes whose CRC is right, or
 * `WarRefused`. Never more than that reaches `sink`, whatever the archive declares.
 */
export async function readContent(window: FileWindow, entry: WarEntry, sink: Sink): Promise<void> {
  const from = await contentStart(window, entry);
  const small = Math.max(entry.compressedBytes, entry.inflatedBytes) <= PIECE_BYTES;
  if (small) return readSmall(window, entry, from, sink);
  if (entry.deflated) return readDeflated(window, entry, from, sink);
  return readStored(window, entry, from, sink);
}

const LOCAL_HEADER = 0x04034b50;

/** The local header repeats the name and may have other extra fields than the table of contents. */
async function contentStart(window: FileWindow, entry: WarEntry): Promise<number> {
  const header =
    window.peek(entry.headerAt, LOCAL_HEADER_BYTES) ??
    (await window.bytes(entry.headerAt, LOCAL_HEADER_BYTES));
  if (header.length < LOCAL_HEADER_BYTES || header.readUInt32LE(0) !== LOCAL_HEADER) {
    throw damaged(entry, "is not where the table of contents says");
  }
  const named = header.readUInt16LE(26) + header.readUInt16LE(28);
  const start = entry.headerAt + LOCAL_HEADER_BYTES + named;
  if (start + entry.compressedBytes > entry.endsBy) throw overlap(entry.name);
  return start;
}

/** One call instead of a stream: an archive may have 100,000 of these. */
async function readSmall(
  window: FileWindow,
  entry: WarEntry,
  from: number,
  sink: Sink,
): Promise<void> {
  const packed = await window.bytes(from, entry.compressedBytes);
  const content = entry.deflated ? inflateSmall(packed, entry) : packed;
  if (content === "too-long") return readDeflated(window, entry, from, sink);
  if (content.length !== entry.inflatedBytes) throw damaged(entry, SHORT);
  if (crc32(content) !== entry.crc32) throw damaged(entry, WRONG_CRC);
  await sink(content);
}

const SHORT = "has other bytes than it declares";
const WRONG_CRC = "has a wrong checksum";

function inflateSmall(packed: Buffer, entry: WarEntry): Buffer | "too-long" {
  const room = entry.inflatedBytes + 1;
  try {
    return inflateRawSync(packed, {
      maxOutputLength: room,
      chunkSize: Math.max(64, Math.min(room, 64 * 1024)),
    });
  } catch (error) {
    if (codeOf(error) === "ERR_BUFFER_TOO_LARGE") return "too-long";
    throw damaged(entry, "cannot be inflated", error);
  }
}

async function readStored(
  window: FileWindow,
  entry: WarEntry,
  from: number,
  sink: Sink,
): Promise<void> {
  let crc = 0;
  for (let done = 0; done < entry.compressedBytes; ) {
    const chunk = await window.bytes(
      from + done,
      Math.min(PIECE_BYTES, entry.compressedBytes - done),
    );
    if (chunk.length === 0) throw damaged(entry, SHORT);
    done += chunk.length;
    crc = crc32(chunk, crc);
    await sink(chunk);
  }
  if (crc !== entry.crc32) throw damaged(entry, WRONG_CRC);
}

/** Counts what really comes. An entry that lies about its size is read on, without a sink, only to tell a bomb from damage. */
async function readDeflated(
  window: FileWindow,
  entry: WarEntry,
  from: number,
  sink: Sink,
): Promise<void> {
  let crc = 0;
  let count = 0;
  const counted = async (inflated: AsyncIterable<Buffer>) => {
    for await (const chunk of inflated) {
      count += chunk.length;
      if (count > bombBytes(entry.compressedBytes)) throw entryBomb(entry.name);
      if (count > entry.inflatedBytes) continue;
      crc = crc32(chunk, crc);
      await sink(chunk);
    }
  };
  try {
    const packed = Readable.from(chunks(window, from, entry.compressedBytes));
    await pipeline(packed, createInflateRaw({ chunkSize: 256 * 1024 }), counted);
  } catch (error) {
    if (codeOf(error)?.startsWith("Z_")) throw damaged(entry, "cannot be inflated", error);
    throw error;
  }
  if (count !== entry.inflatedBytes) throw damaged(entry, SHORT);
  if (crc !== entry.crc32) throw damaged(entry, WRONG_CRC);
}

async function* chunks(window: FileWindow, from: number, length: number): AsyncGenerator<Buffer> {
  for (let done = 0; done < length; ) {
    const chunk = await window.bytes(from + done, Math.min(256 * 1024, length - done));
    if (chunk.length === 0) return;
    done += chunk.length;
    // A copy: whoever gets it may still hold it when the window has moved.
    yield Buffer.from(chunk);
  }
}

function damaged(entry: WarEntry, how: string, cause?: unknown): WarRefused {
  return new WarRefused(
    "war-corrupt",
    `The WAR's entry ${shownName(entry.name)} ${how}: the file is damaged. Build the WAR, or upload it, again.`,
    cause,
  );
}

function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}
