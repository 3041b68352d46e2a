import { readdirSync, statSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { PodId } from "../../contract/ids.ts";
import type { LogSource } from "../../contract/node/logs.ts";

/*
 * One start of one container writes `<container>.<attempt>.log`. When that is rotated it becomes
 * `<container>.<attempt>.log.<start>`, where start counts the bytes written before it: so the place
 * of every byte among all that were ever written is known from the folder alone.
 */

/** An older part of a log, beginning with byte `start`. */
export type LogPart = { readonly start: number; readonly path: string };

export type LogFiles = {
  readonly source: LogSource;
  /** Where the container writes now. */
  readonly path: string;
  /** Oldest first. */
  readonly parts: readonly LogPart[];
};

const NAME = /^([a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)\.(\d{1,9})\.log(?:\.(\d{1,15}))?$/;

/**
 * Every log there is below the folder. Synchronous, for it looks twice a second at what the kernel
 * has in memory; what is gone by the time it is looked at is left out.
 */
export function logFilesIn(logsDir: string): readonly LogFiles[] {
  return namesIn(logsDir).flatMap((name) => {
    const pod = PodId.safeParse(name);
    return pod.success ? logFilesOf(logsDir, pod.data) : [];
  });
}

/** The logs of one pod alone. */
export function logFilesOf(logsDir: string, pod: PodId): readonly LogFiles[] {
  const folder = join(logsDir, pod);
  const files = namesIn(folder).flatMap((file) => {
    const [, container, attempt, start] = NAME.exec(file) ?? [];
    if (container === undefined) return [];
    return { file, container, attempt: Number(attempt), start };
  });
  const starts = Map.groupBy(files, (it) => `${it.container}.${it.attempt}`);
  return [...starts].map(([key, group]) => ({
    source: { pod, container: group[0]?.container ?? "", attempt: group[0]?.attempt ?? 0 },
    path: join(folder, `${key}.log`),
    parts: group
      .flatMap(({ file, start }) =>
        start === undefined ? [] : { start: Number(start), path: join(folder, file) },
      )
      .sort((a, b) => a.start - b.start),
  }));
}

/** The byte that the log's current file begins with. */
function currentStart({ parts }: Pick<LogFiles, "parts">): number {
  const last = parts.at(-1);
  return last ? last.start + (sizeOf(last.path) ?? 0) : 0;
}

/** How many bytes were ever written. */
export function logEnd(files: LogFiles): number {
  return currentStart(files) + (sizeOf(files.path) ?? 0);
}

export type LogBytes = {
  /** The byte that was read first: later than asked for where the earlier ones are gone. */
  readonly start: number;
  readonly length: number;
  /** Nothing will be added to the file that this was read from, and this was its end. */
  readonly closed: boolean;
};

/**
 * Reads what stands from byte `position` on into `buffer`, from one file. Where the log is rotated
 * meanwhile nothing is read: the same name would stand for other bytes.
 */
export async function readLog(
  { path, parts }: LogFiles,
  position: number,
  buffer: Buffer,
): Promise<LogBytes> {
  const current = currentStart({ parts });
  const part = parts.find((_, at) => position < (parts[at + 1]?.start ?? current));
  const from = part?.start ?? current;
  const start = Math.max(position, from);
  const file = await open(part?.path ?? path, "r").catch(ifThere);
  if (!file) return { start: position, length: 0, closed: false };
  try {
    const now = partsOf(path);
    if (now.length !== parts.length || now.some(({ start }, at) => start !== parts[at]?.start)) {
      return { start: position, length: 0, closed: false };
    }
    const { bytesRead } = await file.read(buffer, 0, buffer.length, start - from);
    const followed = part !== parts.at(-1) || sizeOf(path) !== undefined;
    const closed = part !== undefined && followed && bytesRead < buffer.length;
    return { start, length: bytesRead, closed };
  } finally {
    await file.close();
  }
}

/** Sets the current file aside as a part and forgets the parts before it; the next bytes go into a new file. */
export async function setAside(path: string): Promise<void> {
  const parts = partsOf(path);
  const start = currentStart({ parts });
  await rename(path, `${path}.${start}`);
  for (const old of parts) if (old.start !== start) await rm(old.path, { force: true });
}

/** The older parts of the log at `path`, oldest first. */
export function partsOf(path: string): readonly LogPart[] {
  const folder = dirname(path);
  const prefix = `${basename(path)}.`;
  return namesIn(folder)
    .filter((name) => name.startsWith(prefix) && /^\d{1,15}$/.test(name.slice(prefix.length)))
    .map((name) => ({ start: Number(name.slice(prefix.length)), path: join(folder, name) }))
    .sort((a, b) => a.start - b.start);
}

function sizeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.size;
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    return ifThere(error) ?? [];
  }
}

function ifThere(error: unknown): undefined {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code !== "ENOENT" && code !== "ENOTDIR") throw error;
  return undefined;
}
