import yauzl from "yauzl";
import type { FileWindow } from "./file-window.ts";
import {
  checkEntries,
  EMPTY_ARCHIVE,
  type RawEntry,
  WAR_LIMITS,
  type WarEntry,
} from "./war-entries.ts";
import { WarRefused } from "./war-problem.ts";

/**
 * Reads and checks the archive's table of contents; no content is read. Throws `WarRefused` with
 * its reason. Memory is bounded by the number and the length of names that are taken.
 */
export async function readWarEntries(window: FileWindow): Promise<readonly WarEntry[]> {
  if (window.size === 0)
    throw new WarRefused("war-empty", "The WAR has no bytes. Upload it again.");
  const zip = await openZip(window);
  try {
    if (zip.entryCount === 0) throw new WarRefused("war-empty", EMPTY_ARCHIVE);
    if (zip.entryCount > WAR_LIMITS.entries) throw tooMany();
    const directoryAt = cursorOf(zip);
    const raw = await readRaw(zip);
    await refuseUndeclared(window, cursorOf(zip), raw.length);
    return checkEntries(raw, window.size, directoryAt);
  } finally {
    zip.close();
  }
}

async function openZip(window: FileWindow): Promise<yauzl.ZipFile> {
  const options = {
    autoClose: false,
    lazyEntries: true,
    decodeStrings: false,
    validateEntrySizes: false,
  };
  try {
    return await yauzl.fromRandomAccessReaderPromise(new Reader(window), window.size, options);
  } catch (error) {
    if (isSystemError(error)) throw error;
    const start = await window.bytes(0, 4);
    if (start.length === 4 && start.readUInt32LE(0) === LOCAL_HEADER) throw truncated(error);
    throw new WarRefused(
      "war-not-zip",
      "This is not a WAR: a WAR is a ZIP archive, and these bytes are not one. Upload the file that the build made.",
      error,
    );
  }
}

// Its types call this offset a boolean.
function cursorOf(zip: yauzl.ZipFile): number {
  return Number(zip.readEntryCursor);
}

async function readRaw(zip: yauzl.ZipFile): Promise<RawEntry[]> {
  const raw: RawEntry[] = [];
  let nameBytes = 0;
  try {
    for await (const entry of zip.eachEntry()) {
      nameBytes += entry.fileNameLength;
      if (nameBytes > WAR_LIMITS.allNamesBytes) throw namesTooLong();
      raw.push(rawEntry(entry));
    }
  } catch (error) {
    if (error instanceof WarRefused || isSystemError(error)) throw error;
    const said = error instanceof Error ? error.message : "";
    if (said.includes("strong encryption")) {
      throw new WarRefused(
        "war-encrypted",
        "The WAR is encrypted. Build it without a password.",
        error,
      );
    }
    throw truncated(error);
  }
  return raw;
}

function rawEntry(entry: yauzl.Entry): RawEntry {
  return {
    name: decodeName(entry),
    method: entry.compressionMethod,
    encrypted: entry.isEncrypted(),
    unixType: (entry.externalFileAttributes >>> 16) & 0o170000,
    compressedBytes: entry.compressedSize,
    inflatedBytes: entry.uncompressedSize,
    crc32: entry.crc32,
    headerAt: entry.relativeOffsetOfLocalHeader,
  };
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const UTF8_FLAG = 0x800;

/** As Java reads names: UTF-8 whatever the flag says; only bytes that are not UTF-8 are the ZIP's old code page. */
function decodeName(entry: yauzl.Entry): string | undefined {
  try {
    return utf8.decode(entry.fileNameRaw);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    if (entry.generalPurposeBitFlag & UTF8_FLAG) return undefined;
    return yauzl.getFileNameLowLevel(0, entry.fileNameRaw, [], true);
  }
}

const LOCAL_HEADER = 0x04034b50;
const DIRECTORY_HEADER = 0x02014b50;

/** The count in the old format has 16 bits: a list that goes on behind it hides entries. */
async function refuseUndeclared(window: FileWindow, from: number, counted: number): Promise<void> {
  let at = from;
  let count = counted;
  for (;;) {
    const header = await window.bytes(at, 46);
    if (header.length < 46 || header.readUInt32LE(0) !== DIRECTORY_HEADER) break;
    count += 1;
    if (count > WAR_LIMITS.entries) throw tooMany();
    at += 46 + header.readUInt16LE(28) + header.readUInt16LE(30) + header.readUInt16LE(32);
  }
  if (count > counted) {
    throw new WarRefused(
      "war-corrupt",
      `The WAR says that it has ${counted} entries, and lists ${count}. It is damaged: build it again.`,
    );
  }
}

function isSystemError(error: unknown): boolean {
  return error instanceof Error && "syscall" in error;
}

function tooMany(): WarRefused {
  return new WarRefused(
    "war-too-many-entries",
    "The WAR has more than 100,000 entries. Leave out what the app does not need, or serve it as a static site.",
  );
}

function namesTooLong(): WarRefused {
  return new WarRefused(
    "war-name-invalid",
    "The names in the WAR are longer than 32 MiB together. Shorten them.",
  );
}

function truncated(cause: unknown): WarRefused {
  return new WarRefused(
    "war-truncated",
    "The WAR is cut off or damaged: its table of contents cannot be read. Upload it again, whole.",
    cause,
  );
}

/** yauzl's way to read, through our window. */
class Reader extends yauzl.RandomAccessReader {
  readonly #window: FileWindow;
  constructor(window: FileWindow) {
    super();
    this.#window = window;
  }
  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null) => void,
  ): void {
    const there = this.#window.peek(position, length);
    if (there !== undefined) {
      there.copy(buffer, offset);
      callback(null);
      return;
    }
    this.#read(buffer, offset, length, position).then(
      () => callback(null),
      (error: Error) => callback(error),
    );
  }
  override close(callback: (error: Error | null) => void): void {
    callback(null);
  }
  async #read(buffer: Buffer, offset: number, length: number, position: number): Promise<void> {
    const bytes = await this.#window.bytes(position, length);
    if (bytes.length < length) throw new Error("unexpected end of file");
    bytes.copy(buffer, offset);
  }
}
