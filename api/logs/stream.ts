import { MAX_LOG_CHUNK_MS } from "../../contract/node/logs.ts";
import {
  type LogFilter,
  type LogPlace,
  type LogStart,
  logsAfter,
  logsByTime,
  logTimes,
} from "../../db/streams/log-reads.ts";
import type { ApiDeps } from "../deps.ts";
import { type LogEntry, openMerge, timeText } from "./lines.ts";

/** Chunks held at once: some 64 KiB each at the most. */
const ROWS_A_PAGE = 20;
const TIMES_A_PAGE = 100;
/** Announcements can be lost; a look every second cannot. */
const LOOK_EVERY_MS = 1_000;

type Deps = Pick<ApiDeps, "db" | "changes">;

/** What to show of the past: the last `count` lines, or everything. */
export type Tail = number | "all";

/** The past of the filter, in the order of time, a few lines at a time. */
export async function* history(
  deps: Deps,
  filter: LogFilter,
  tail: Tail,
): AsyncGenerator<readonly LogEntry[], void> {
  if (tail === 0) return;
  const start = tail === "all" ? undefined : await tailStart(deps, filter, tail);
  const from = start?.at ?? (filter.since ? timeText(filter.since) : "");
  let toSkip = start?.skip ?? 0;
  const wanted = (entries: readonly LogEntry[]) =>
    entries.filter((entry) => {
      if (entry.at < from) return false;
      if (start === undefined || entry.at !== from || toSkip === 0) return true;
      toSkip -= 1;
      return false;
    });
  const merge = openMerge();
  let after: LogPlace | undefined = start && {
    firstAt: new Date(Date.parse(start.at) - MAX_LOG_CHUNK_MS),
    id: 0,
  };
  for (;;) {
    const rows = await logsByTime(deps.db, filter, after, ROWS_A_PAGE);
    yield wanted(merge.add(rows));
    after = rows.at(-1) ?? after;
    if (rows.length < ROWS_A_PAGE) break;
  }
  yield wanted(merge.end());
}

/** When the last `count` lines begin; of the lines at that very time `skip` are too many. */
type TailStart = { readonly at: string; readonly skip: number };

async function tailStart(
  deps: Deps,
  filter: LogFilter,
  count: number,
): Promise<TailStart | undefined> {
  const since = filter.since ? timeText(filter.since) : "";
  let times: string[] = [];
  let before: LogPlace | undefined;
  for (;;) {
    const page = await logTimes(deps.db, filter, before, TIMES_A_PAGE);
    const last = page.at(-1);
    for (const row of page) for (const at of row.times) if (at >= since) times.push(at);
    times.sort().reverse();
    const cut = times[count - 1];
    if (cut !== undefined) times = times.filter((at) => at >= cut);
    if (last === undefined) break;
    before = last;
    // A chunk further back began earlier, and none is longer than this.
    if (cut !== undefined && last.firstAt.getTime() + MAX_LOG_CHUNK_MS < Date.parse(cut)) break;
  }
  const at = times[count - 1];
  return at === undefined ? undefined : { at, skip: times.length - count };
}

/**
 * What comes after the chunk `after`, as it comes; an empty part every `everyMs` or sooner, so that
 * the caller can look whether anybody still listens. Ends when `signal` is aborted.
 */
export async function* following(
  deps: Deps,
  filter: LogFilter,
  after: number,
  signal: AbortSignal,
): AsyncGenerator<readonly LogEntry[], void> {
  using watch = deps.changes.watch(`logs:${filter.app}`);
  const since = filter.since ? timeText(filter.since) : "";
  let last = after;
  while (!signal.aborted) {
    const rows = await logsAfter(deps.db, filter, last, ROWS_A_PAGE);
    last = rows.at(-1)?.id ?? last;
    const merge = openMerge();
    const entries = [...merge.add(rows), ...merge.end()];
    yield entries.filter((it) => it.at >= since);
    if (rows.length === 0) await watch.changed(LOOK_EVERY_MS, signal);
  }
}

/** Of each container the start before its newest. `starts` are newest first. */
export function startsBefore(starts: readonly LogStart[]): readonly LogStart[] {
  const byContainer = Map.groupBy(starts, (it) => `${it.podId} ${it.container}`);
  return [...byContainer.values()].flatMap(([, previous]) => previous ?? []);
}
