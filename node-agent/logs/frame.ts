/*
 * The runtime's log format, the container runtime interface's own: `<time> <stream> <F|P> <text>`,
 * where P is a part of a line that the next frame of that stream goes on with. Pure.
 */

export type Stream = "stdout" | "stderr";

export type Frame = {
  /** As the runtime wrote it. */
  readonly time: string;
  readonly stream: Stream;
  /** Whether the line ends with it. */
  readonly full: boolean;
  readonly text: Buffer;
};

const NEWLINE = 0x0a;
const SPACE = 0x20;

/** The end of the frame that begins at `from`, behind its newline; undefined while it is being written. */
export function frameEnd(bytes: Buffer, from: number): number | undefined {
  const newline = bytes.indexOf(NEWLINE, from);
  return newline < 0 ? undefined : newline + 1;
}

/** The frame that stands from `from` to `end`, its newline not included; undefined where it is none. */
export function frameIn(bytes: Buffer, from: number, end: number): Frame | undefined {
  const afterTime = bytes.indexOf(SPACE, from);
  const stream = bytes.toString("latin1", afterTime + 1, afterTime + 7);
  const afterTags = bytes.indexOf(SPACE, afterTime + 8);
  if (afterTime < 0 || afterTime + 9 > end || (stream !== "stdout" && stream !== "stderr")) {
    return undefined;
  }
  const tag = bytes[afterTime + 8];
  if (tag !== 0x46 && tag !== 0x50) return undefined;
  // An empty line may end with its tag.
  const textFrom = afterTags < 0 || afterTags >= end ? end : afterTags + 1;
  const time = bytes.toString("latin1", from, afterTime);
  return { time, stream, full: tag === 0x46, text: bytes.subarray(textFrom, end) };
}

/** How many frames end between `from` and `to`. */
export function countFrames(bytes: Buffer, from: number, to: number): number {
  let count = 0;
  for (let at = bytes.indexOf(NEWLINE, from); at >= 0 && at < to; ) {
    count += 1;
    at = bytes.indexOf(NEWLINE, at + 1);
  }
  return count;
}

const TIME = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/;

/** The frame's time in UTC, to the nanosecond; undefined where it is none. */
export function frameTime(time: string): string | undefined {
  const [, seconds, fraction = "", zone] = TIME.exec(time) ?? [];
  if (seconds === undefined) return undefined;
  const nanos = fraction.padEnd(9, "0");
  if (zone === "Z") return `${seconds}.${nanos}Z`;
  const utc = new Date(`${seconds}${zone}`).toISOString().slice(0, 19);
  return `${utc}.${nanos}Z`;
}
