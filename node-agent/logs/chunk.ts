import { type LogLine, MAX_LOG_CHUNK_LINES, MAX_LOG_CHUNK_MS } from "../../contract/node/logs.ts";

/** What a line takes as JSON beside its text. */
export const LINE_OVERHEAD = 80;

/** The lines of one chunk, while it is being filled. */
export type ChunkDraft = {
  readonly lines: LogLine[];
  dropped: number;
  /** Bytes of JSON that may still come. */
  room: number;
};

export function aDraft(room: number): ChunkDraft {
  return { lines: [], dropped: 0, room };
}

/** Whether a line of this time has a place in the chunk. Pure. */
export function hasRoom({ lines, room }: ChunkDraft, at: string): boolean {
  const [first] = lines;
  if (room <= 0 || lines.length >= MAX_LOG_CHUNK_LINES) return false;
  return !first || Math.abs(Date.parse(at) - Date.parse(first.at)) < MAX_LOG_CHUNK_MS;
}

export function put(draft: ChunkDraft, line: LogLine): void {
  draft.lines.push(line);
  draft.room -= Buffer.byteLength(JSON.stringify(line.text)) + LINE_OVERHEAD;
}
