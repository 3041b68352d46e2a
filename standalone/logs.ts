import { createReadStream, createWriteStream } from "node:fs";
import { open, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { listIfThere, unlessAbsent } from "./files.ts";

const MAX_BYTES = 32 * 1024 * 1024;
const TAIL_BYTES = 256 * 1024;

/**
 * Bounds each part's log: one that grew beyond `maxBytes` goes on empty, and its end is kept beside it
 * as `<name>.log.1`. The part does not notice, since it appends; a line of that very moment may be lost.
 */
export async function trimLogs(logDir: string, maxBytes = MAX_BYTES): Promise<void> {
  for (const name of (await listIfThere(logDir)) ?? []) {
    const path = join(logDir, name);
    const size = name.endsWith(".log") ? ((await unlessAbsent(stat(path)))?.size ?? 0) : 0;
    if (size <= maxBytes) continue;
    const end = createReadStream(path, { start: size - maxBytes, end: size - 1 });
    await pipeline(end, createWriteStream(`${path}.1`, { mode: 0o600 }));
    await truncate(path, 0);
  }
}

/**
 * What was written after the first `from` bytes: the end of it, 256 KiB at most. A log that is shorter
 * by now was trimmed meanwhile, so all of it counts. Empty where there is no log.
 */
export async function readLog(path: string, from: number): Promise<string> {
  const file = await unlessAbsent(open(path, "r"));
  if (file === undefined) return "";
  try {
    const { size } = await file.stat();
    const start = Math.max(size < from ? 0 : from, size - TAIL_BYTES);
    const { buffer, bytesRead } = await file.read(
      Buffer.alloc(size - start),
      0,
      size - start,
      start,
    );
    return buffer.toString("utf8", 0, bytesRead);
  } finally {
    await file.close();
  }
}
