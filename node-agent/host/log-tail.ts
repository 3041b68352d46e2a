import { open } from "node:fs/promises";
import { frameEnd, frameIn, type Stream } from "../logs/frame.ts";
import { cut } from "../report/words.ts";

const WINDOW_BYTES = 64 * 1024;
/** Source: the node protocol's bound. */
const LINE_CHARS = 2_000;

/** The last `count` lines that a container wrote; empty when it has no log. Reads a bounded part from the end. */
export async function logTail(path: string, count: number): Promise<readonly string[]> {
  const file = await open(path, "r").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (!file) return [];
  try {
    const { size } = await file.stat();
    const from = Math.max(0, size - WINDOW_BYTES);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size - from), 0, size - from, from);
    const bytes = buffer.subarray(0, bytesRead);
    const whole = from > 0 ? bytes.subarray(frameEnd(bytes, 0) ?? bytesRead) : bytes;
    return foldFrames(wordsIn(whole)).slice(-count);
  } finally {
    await file.close();
  }
}

/** The container's own lines of its log, without control characters, none too long for a report. Pure. */
export function wordsIn(log: Buffer): readonly string[] {
  const parts = new Map<Stream, Buffer[]>();
  const lines: Buffer[][] = [];
  for (let from = 0, end = frameEnd(log, 0); end !== undefined; end = frameEnd(log, from)) {
    const frame = frameIn(log, from, end - 1);
    from = end;
    if (!frame) continue;
    const line = [...(parts.get(frame.stream) ?? []), frame.text];
    if (frame.full) lines.push(line);
    if (frame.full) parts.delete(frame.stream);
    else parts.set(frame.stream, line);
  }
  return [...lines, ...parts.values()].map((it) => printable(Buffer.concat(it).toString("utf8")));
}

function printable(line: string): string {
  return cut(line.replaceAll("\t", "    ").replaceAll(/\p{C}/gu, ""), LINE_CHARS);
}

/** Frames of a stack trace that are kept: enough to see where, few enough to leave room for why. */
const FRAMES = 3;

/** A long stack trace would push the line that says what went wrong out of any tail. Pure. */
export function foldFrames(lines: readonly string[]): readonly string[] {
  const folded: string[] = [];
  let frames = 0;
  for (const line of lines) {
    frames = /^\s+at \S/.test(line) ? frames + 1 : 0;
    if (frames <= FRAMES) folded.push(line);
    else if (frames === FRAMES + 1) folded.push("    ...");
  }
  return folded;
}
