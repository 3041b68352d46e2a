import type { LogRow } from "../../db/streams/log-reads.ts";
import { plainText } from "../http/plain-text.ts";

/* Lines of containers, in one order, as people and programs read them. Pure. */

export type LogEntry = {
  readonly at: string;
  readonly pod: string;
  readonly container: string;
  readonly attempt: number;
  readonly release: number;
  readonly stream: "stdout" | "stderr";
  readonly text: string;
};

/**
 * One order of time over many sources, each of which keeps its own order. Rows come in the order of
 * their first lines; what may still be overtaken by a later row is held back.
 */
export type Merge = {
  /** Takes rows in and gives the lines that no later row can come before. */
  add(rows: readonly LogRow[]): readonly LogEntry[];
  /** What is left. */
  end(): readonly LogEntry[];
};

export function openMerge(): Merge {
  const queues = new Map<string, LogEntry[]>();

  function take(before: string | undefined): readonly LogEntry[] {
    const taken: LogEntry[] = [];
    for (;;) {
      const queue = earliest(queues);
      const [head] = queue ?? [];
      if (!queue || !head || (before !== undefined && head.at >= before)) break;
      const next = secondHead(queues, queue);
      const limit = before === undefined || (next !== undefined && next < before) ? next : before;
      let count = 1;
      while (count < queue.length && (limit === undefined || (queue[count]?.at ?? "") < limit)) {
        count++;
      }
      for (const entry of queue.splice(0, count)) taken.push(entry);
    }
    for (const [key, queue] of queues) if (queue.length === 0) queues.delete(key);
    return taken;
  }

  return {
    add: (rows) => {
      for (const row of rows) {
        const key = `${row.podId} ${row.container} ${row.attempt}`;
        queues.set(key, [...(queues.get(key) ?? []), ...entriesOf(row)]);
      }
      const last = rows.at(-1);
      return last ? take(timeText(last.firstAt)) : [];
    },
    end: () => take(undefined),
  };
}

function earliest(queues: ReadonlyMap<string, LogEntry[]>): LogEntry[] | undefined {
  let found: LogEntry[] | undefined;
  for (const queue of queues.values()) {
    const at = queue[0]?.at;
    if (at !== undefined && (found?.[0] === undefined || at < found[0].at)) found = queue;
  }
  return found;
}

/** The earliest time at the head of any other queue. */
function secondHead(queues: ReadonlyMap<string, LogEntry[]>, but: LogEntry[]): string | undefined {
  let found: string | undefined;
  for (const queue of queues.values()) {
    const at = queue === but ? undefined : queue[0]?.at;
    if (at !== undefined && (found === undefined || at < found)) found = at;
  }
  return found;
}

function entriesOf(row: LogRow): readonly LogEntry[] {
  const { podName: pod, container, attempt, release } = row;
  return row.lines.map(({ at, stream, text }) => {
    return { at, pod, container, attempt, release, stream, text };
  });
}

/** A moment as the lines spell theirs, to be compared with them as text. */
export function timeText(at: Date): string {
  return at.toISOString().replace("Z", "000000Z");
}

export function ndjsonLine(entry: LogEntry): string {
  return `${JSON.stringify(entry)}\n`;
}

export function textLine(
  entry: LogEntry,
  options: { readonly prefix: boolean; readonly timestamps: boolean },
): string {
  const time = options.timestamps ? `${entry.at} ` : "";
  const prefix = options.prefix ? `${entry.pod}/${entry.container} ` : "";
  return `${time}${prefix}${plainText(entry.text)}\n`;
}
