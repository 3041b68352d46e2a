import { LOG_RATE, type LogLine, MAX_LOG_LINE_BYTES } from "../../contract/node/logs.ts";
import { type ChunkDraft, hasRoom, LINE_OVERHEAD, put } from "./chunk.ts";
import { openFlood } from "./flood.ts";
import { countFrames, type Frame, frameEnd, frameIn, frameTime, type Stream } from "./frame.ts";

/**
 * What becomes of bytes without a newline: they are waited for while the frame is being written,
 * taken for a frame's beginning where it is larger than any buffer, and for its end in a closed file.
 */
type Rest = "waits" | "begins" | "ends";

export type LineMaker = {
  /** Puts the frames of `bytes` into the chunk as far as there is room, and answers how many bytes those were. */
  take(bytes: Buffer, draft: ChunkDraft, rest: Rest): number;
  /** So many bytes are gone and were never seen. */
  missed(bytes: number, draft: ChunkDraft): void;
};

/** A line under way; without bytes where the rest of it is not wanted. */
type Part = { at: string; dropped: boolean; bytes: Buffer[] | undefined; size: number };

/**
 * Makes lines of one container's frames: parts are joined, long lines cut, and those of a flood left
 * out and counted. The time is what the frames say, so words that had to wait are no flood. Pure.
 */
export function openLineMaker(): LineMaker {
  const parts = new Map<Stream, Part>();
  const flood = openFlood(LOG_RATE);
  const seen = { frames: 1, bytes: 100 };
  let second = "";
  let midFrame = false;

  function begin(at: string, bytes: number): Part {
    const dropped = !flood.admits(Math.min(bytes + LINE_OVERHEAD / 2, MAX_LOG_LINE_BYTES));
    return { at, dropped, bytes: dropped ? undefined : [], size: 0 };
  }

  /** The line that the frame makes whole, or so long that the rest of it is not wanted. */
  function lineOf(frame: Frame, at: string): LogLine | "dropped" | undefined {
    const part = parts.get(frame.stream) ?? begin(at, frame.text.length);
    if (frame.full) parts.delete(frame.stream);
    else parts.set(frame.stream, part);
    if (!part.bytes) return frame.full && part.dropped ? "dropped" : undefined;
    // A copy of a part, since its bytes are read over while the line is under way.
    part.bytes.push(frame.full ? frame.text : Buffer.from(frame.text));
    part.size += frame.text.length;
    if (!frame.full && part.size <= MAX_LOG_LINE_BYTES) return undefined;
    const text = decoded(Buffer.concat(part.bytes));
    part.bytes = undefined;
    return { at: part.at, stream: frame.stream, text };
  }

  /** False where the chunk has no room for it. */
  function takeFrame(frame: Frame, draft: ChunkDraft): boolean {
    const at = frameTime(frame.time);
    if (at === undefined) return true;
    if (!hasRoom(draft, at)) return false;
    second = frame.time.slice(0, 19);
    const over = flood.at(at);
    if (over > 0) put(draft, { at, stream: "stdout", text: droppedText(over) });
    const made = lineOf(frame, at);
    if (made === "dropped") leaveOut(1, draft);
    else if (made) put(draft, made);
    return true;
  }

  function leaveOut(lines: number, draft: ChunkDraft): void {
    draft.dropped += lines;
    flood.leftOut(lines);
  }

  /** In a flood nothing of this second is taken any more, so that it is enough to count. */
  function skipFlood(bytes: Buffer, from: number, draft: ChunkDraft): number {
    if (!flood.isEmpty() || midFrame) return from;
    const to = bytes.lastIndexOf("\n") + 1;
    if (to <= from) return from;
    const last = bytes.lastIndexOf("\n", to - 2) + 1;
    if (bytes.toString("latin1", last, last + 19) !== second) return from;
    parts.clear();
    leaveOut(countFrames(bytes, from, to), draft);
    return to;
  }

  function take(bytes: Buffer, draft: ChunkDraft, rest: Rest): number {
    let at = 0;
    while (at < bytes.length) {
      at = skipFlood(bytes, at, draft);
      const whole = frameEnd(bytes, at);
      const begins = rest === "begins" && (at === 0 || midFrame);
      if (whole === undefined && !begins && rest !== "ends") break;
      const end = whole ?? bytes.length;
      const frame = midFrame ? undefined : frameIn(bytes, at, whole === undefined ? end : end - 1);
      if (frame && !takeFrame(begins && whole === undefined ? cutShort(frame) : frame, draft))
        break;
      if (midFrame) parts.clear();
      midFrame = whole === undefined && begins;
      seen.frames += 1;
      seen.bytes += end - at;
      at = end;
    }
    return at;
  }

  return {
    take,
    missed: (bytes, draft) => {
      leaveOut(Math.ceil((bytes * seen.frames) / seen.bytes), draft);
      parts.clear();
      midFrame = false;
    },
  };
}

function cutShort(frame: Frame): Frame {
  return { ...frame, full: false };
}

function droppedText(count: number): string {
  const lines = count === 1 ? "1 line" : `${count} lines`;
  return `… ${lines} dropped: more than ${LOG_RATE.bytesPerSecond / 1024} KiB/s`;
}

/** As text that can be stored: what is no UTF-8 is replaced, NUL left out, and a long line cut. */
function decoded(bytes: Buffer): string {
  if (bytes.length <= MAX_LOG_LINE_BYTES) return bytes.toString("utf8").replaceAll("\0", "");
  let end = MAX_LOG_LINE_BYTES - 3;
  // Not in the middle of a character, where its first byte is near.
  for (let back = 0; back < 3 && ((bytes[end] ?? 0) & 0xc0) === 0x80; back++) end -= 1;
  return `${bytes.toString("utf8", 0, end).replaceAll("\0", "")}…`;
}
