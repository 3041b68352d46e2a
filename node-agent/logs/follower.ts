import type { LogChunk, LogSource } from "../../contract/node/logs.ts";
import { aDraft } from "./chunk.ts";
import { type LogFiles, logEnd, partsOf, readLog } from "./files.ts";
import { openLineMaker } from "./lines.ts";

/** Follows one log, from the byte up to which the api keeps it. */
export type LogFollower = {
  readonly source: LogSource;
  /** Whether the api has said how far it is kept. */
  isPlaced(): boolean;
  /** Goes on from this byte, as if nothing was read before. */
  seek(position: number): void;
  /** Waits for the api's word again. */
  forget(): void;
  /** The log's folder was looked at anew. */
  refresh(files: LogFiles): void;
  /** Whether there is something that was not read yet. */
  hasMore(): boolean;
  /** The next lines, of at most `room` bytes as JSON; undefined where there is nothing new that is whole. */
  next(room: number, buffer: Buffer): Promise<LogChunk | undefined>;
};

/** A flood is skipped over many turns, so that others get theirs. */
const TURN_MS = 50;

export function followLog(first: LogFiles): LogFollower {
  let files = first;
  let position: number | undefined;
  let lines = openLineMaker();
  let waitsAt: number | undefined;
  /** By how much the api is ahead of all that the folder holds: somebody has emptied it. */
  let ahead = 0;

  async function next(room: number, buffer: Buffer): Promise<LogChunk | undefined> {
    if (position === undefined) return undefined;
    const from = position;
    const draft = aDraft(room);
    const untilMs = performance.now() + TURN_MS;
    files = { ...files, parts: partsOf(files.path) };
    while (performance.now() < untilMs) {
      const { start, length, closed } = await readLog(files, position, buffer);
      if (start > position) lines.missed(start - position, draft);
      position = start;
      const rest = closed ? "ends" : length === buffer.length ? "begins" : "waits";
      const consumed = lines.take(buffer.subarray(0, length), draft, rest);
      position += consumed;
      if (consumed > 0) continue;
      const nothingYet = rest === "waits" && draft.lines.length === 0;
      waitsAt = nothingYet ? start + length : undefined;
      break;
    }
    if (position === from) return undefined;
    const { dropped, lines: made } = draft;
    return { ...files.source, from: from + ahead, to: position + ahead, dropped, lines: made };
  }

  return {
    source: first.source,
    isPlaced: () => position !== undefined,
    seek: (to) => {
      position = Math.min(to, logEnd(files));
      ahead = to - position;
      lines = openLineMaker();
      waitsAt = undefined;
    },
    forget: () => {
      position = undefined;
    },
    refresh: (found) => {
      files = found;
    },
    hasMore: () => {
      const end = logEnd(files);
      return position !== undefined && end > position && end !== waitsAt;
    },
    next,
  };
}
