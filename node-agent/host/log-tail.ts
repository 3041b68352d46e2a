import { open } from "node:fs/promises";

const WINDOW_BYTES = 64 * 1024;
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
    const lines = buffer.subarray(0, bytesRead).toString("utf8").split("\n");
    return foldFrames(parseCriLog(from > 0 ? lines.slice(1) : lines)).slice(-count);
  } finally {
    await file.close();
  }
}

/**
 * The container's own lines of a CRI log: `<time> <stream> <F|P> <text>`, where P is a part that the
 * next line of that stream goes on with. Control characters are taken out. Pure.
 */
export function parseCriLog(lines: readonly string[]): readonly string[] {
  const parts = new Map<string, string>();
  const whole: string[] = [];
  for (const line of lines) {
    const match = /^\S+ (stdout|stderr) ([FP])\S* ?(.*)$/s.exec(line);
    if (!match) continue;
    const [, stream = "", kind, text = ""] = match;
    const soFar = ((parts.get(stream) ?? "") + text).slice(0, LINE_CHARS);
    if (kind === "P") parts.set(stream, soFar);
    else {
      parts.delete(stream);
      whole.push(soFar.replaceAll("\t", "    ").replaceAll(/\p{C}/gu, ""));
    }
  }
  return [...whole, ...[...parts.values()].filter((it) => it !== "")];
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
