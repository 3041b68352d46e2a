import { shownName, type WarProblem, WarRefused } from "./war-problem.ts";

/** One record of the archive's central directory, as it stands there: nothing in it is believed yet. */
export type RawEntry = {
  /** Undefined where the bytes of the name are no text. */
  readonly name: string | undefined;
  readonly method: number;
  readonly encrypted: boolean;
  /** The type bits of a Unix mode; 0 where the archive has none. */
  readonly unixType: number;
  readonly compressedBytes: number;
  readonly inflatedBytes: number;
  readonly crc32: number;
  readonly headerAt: number;
};

/** A file or a folder of a WAR whose name is safe to use below any folder. */
export type WarEntry = {
  readonly kind: "file" | "directory";
  /** Relative, with `/` between the parts and none at the end. */
  readonly name: string;
  readonly deflated: boolean;
  readonly compressedBytes: number;
  /** What the archive says; the real bytes are counted when they are read. */
  readonly inflatedBytes: number;
  readonly crc32: number;
  readonly headerAt: number;
  /** No byte of the entry lies here or behind. */
  readonly endsBy: number;
};

export const WAR_LIMITS = {
  entries: 100_000,
  nameChars: 1_000,
  /** Of all names together, so that a list of entries stays small in memory. */
  allNamesBytes: 32 * 1024 * 1024,
  inflatedBytes: 4 * 1024 ** 3,
  ratio: 200,
  /** Below this many inflated bytes the ratio of an entry alone says nothing. */
  ratioFromBytes: 1024 * 1024,
} as const;

/**
 * The entries of a WAR, or a refusal that names the first offenders. Pure. `dataEndsAt` is where the
 * central directory starts: no entry reaches beyond.
 */
export function checkEntries(
  raw: readonly RawEntry[],
  archiveBytes: number,
  dataEndsAt: number,
): readonly WarEntry[] {
  if (raw.length === 0) throw new WarRefused("war-empty", EMPTY_ARCHIVE);
  refuseOffenders(raw, nameProblem);
  refuseOffenders(raw, contentProblem);
  refuseBombs(raw, archiveBytes);
  const entries = withEnds(raw, dataEndsAt);
  refuseClashes(entries);
  return entries;
}

export const EMPTY_ARCHIVE =
  "The WAR has no entries. Check the build that made it, and upload it again.";

/** What a message says for an offence, after the names. */
const ADVICE: Readonly<Partial<Record<WarProblem, string>>> = {
  "war-path-absolute":
    "names an absolute path. Build the WAR again with names relative to its root.",
  "war-path-escapes":
    'leads out of the WAR with "..". Build the WAR again with names relative to its root.',
  "war-name-invalid":
    "is a name that cannot be unpacked safely: control characters, backslashes, empty parts, names that start with .wh., parts over 255 bytes and names over 1,000 characters are not taken. Rename it, and build the WAR again.",
  "war-symlink":
    "is a symbolic link or a device. Put the file itself into the WAR, and build it again.",
  "war-encrypted": "is encrypted. Build the WAR without a password.",
  "war-compression":
    "is compressed with a method that Java does not read. Build the WAR with deflate, or uncompressed.",
  "war-corrupt": "has a size that contradicts itself. The WAR is damaged: build it again.",
};

function refuseOffenders(
  raw: readonly RawEntry[],
  problemOf: (entry: RawEntry) => WarProblem | undefined,
): void {
  const offenders = new Map<WarProblem, string[]>();
  for (const entry of raw) {
    const slug = problemOf(entry);
    if (slug === undefined) continue;
    const names = offenders.get(slug) ?? [];
    names.push(entry.name ?? "(not text)");
    offenders.set(slug, names);
  }
  for (const [slug, names] of offenders) {
    throw new WarRefused(slug, `${nameSome(names)} ${ADVICE[slug]}`);
  }
}

function nameSome(names: readonly string[]): string {
  const shown = names.slice(0, 3).map(shownName).join(", ");
  const more = names.length > 3 ? ` and ${names.length - 3} more` : "";
  return `The WAR's entry ${shown}${more}`;
}

function nameProblem({ name }: RawEntry): WarProblem | undefined {
  if (name === undefined || name === "") return "war-name-invalid";
  const slashed = name.replaceAll("\\", "/");
  if (slashed.startsWith("/") || /^[A-Za-z]:/.test(slashed)) return "war-path-absolute";
  const parts = slashed.split("/");
  if (parts.includes("..")) return "war-path-escapes";
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for.
  const unclean = /[\u0000-\u001f\u007f-\u009f\\]/.test(name);
  if (unclean || !name.isWellFormed() || name.length > WAR_LIMITS.nameChars) {
    return "war-name-invalid";
  }
  if (parts.at(-1) === "") parts.pop();
  return parts.every(isUsablePart) ? undefined : "war-name-invalid";
}

// In an image layer a name that starts with .wh. deletes another file.
function isUsablePart(part: string): boolean {
  if (part === "" || part === "." || part.startsWith(".wh.")) return false;
  return Buffer.byteLength(part) <= 255;
}

const REGULAR = 0o100000;
const DIRECTORY = 0o040000;

function contentProblem(entry: RawEntry): WarProblem | undefined {
  if (![0, REGULAR, DIRECTORY].includes(entry.unixType)) return "war-symlink";
  if (entry.encrypted) return "war-encrypted";
  if (entry.method !== 0 && entry.method !== 8) return "war-compression";
  if (entry.method === 0 && entry.compressedBytes !== entry.inflatedBytes) return "war-corrupt";
  return undefined;
}

function refuseBombs(raw: readonly RawEntry[], archiveBytes: number): void {
  let inflated = 0;
  for (const entry of raw) {
    inflated += entry.inflatedBytes;
    if (entry.inflatedBytes > bombBytes(entry.compressedBytes)) throw entryBomb(entry.name ?? "");
  }
  if (inflated > WAR_LIMITS.inflatedBytes || inflated > WAR_LIMITS.ratio * archiveBytes) {
    const ratio = Math.ceil(inflated / Math.max(1, archiveBytes));
    throw new WarRefused(
      "war-bomb",
      `The WAR would unpack to ${inflated} bytes, ${ratio} times its size. At most ${WAR_LIMITS.ratio} times and ${WAR_LIMITS.inflatedBytes} bytes are taken: leave out what inflates so much.`,
    );
  }
}

/** An entry that inflates to more than this is a bomb, whatever size it declares. */
export function bombBytes(compressedBytes: number): number {
  return Math.max(WAR_LIMITS.ratioFromBytes, WAR_LIMITS.ratio * compressedBytes);
}

export function entryBomb(name: string): WarRefused {
  return new WarRefused(
    "war-bomb",
    `The WAR's entry ${shownName(name)} inflates to more than ${WAR_LIMITS.ratio} times its size. Leave it out, or store it uncompressed.`,
  );
}

/** Entries share no byte in an honest archive; overlapping ones are how a small file inflates without end. */
function withEnds(raw: readonly RawEntry[], dataEndsAt: number): readonly WarEntry[] {
  const byPlace = raw.toSorted((a, b) => a.headerAt - b.headerAt);
  const entries: WarEntry[] = [];
  for (const [index, entry] of byPlace.entries()) {
    const endsBy = byPlace[index + 1]?.headerAt ?? dataEndsAt;
    const name = entry.name ?? "";
    if (entry.headerAt + LOCAL_HEADER_BYTES + entry.compressedBytes > endsBy) throw overlap(name);
    const directory = name.endsWith("/") || entry.unixType === DIRECTORY;
    entries.push({
      kind: directory ? "directory" : "file",
      name: name.endsWith("/") ? name.slice(0, -1) : name,
      deflated: entry.method === 8,
      compressedBytes: entry.compressedBytes,
      inflatedBytes: entry.inflatedBytes,
      crc32: entry.crc32,
      headerAt: entry.headerAt,
      endsBy,
    });
  }
  return entries;
}

export const LOCAL_HEADER_BYTES = 30;

export function overlap(name: string): WarRefused {
  return new WarRefused(
    "war-bomb",
    `The WAR's entry ${shownName(name)} overlaps another one, as entries of a decompression bomb do. Build the WAR again.`,
  );
}

/** A folder may be named twice, since that says nothing new; a file may not, nor be a folder too. */
function refuseClashes(entries: readonly WarEntry[]): void {
  const files = new Set<string>();
  const directories = new Set<string>();
  for (const { kind, name } of entries) {
    if (kind === "file" && files.has(name)) throw clash(name, "is there twice");
    (kind === "file" ? files : directories).add(name);
    for (let cut = name.lastIndexOf("/"); cut > 0; cut = name.lastIndexOf("/", cut - 1)) {
      const parent = name.slice(0, cut);
      if (directories.has(parent)) break;
      directories.add(parent);
    }
  }
  for (const name of files) {
    if (directories.has(name)) throw clash(name, "is both a file and a folder");
  }
}

function clash(name: string, how: string): WarRefused {
  return new WarRefused(
    "war-duplicate-entry",
    `The WAR's entry ${shownName(name)} ${how}, so which one counts is anyone's guess. Build the WAR with each name once.`,
  );
}
