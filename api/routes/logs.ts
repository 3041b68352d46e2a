import { z } from "zod";
import { Problem } from "../../contract/problem.ts";
import type { AppRow } from "../../db/apps/apps.ts";
import { type LogFilter, logStarts, newestLogId } from "../../db/streams/log-reads.ts";
import { recordRead } from "../apps/change.ts";
import { isThere, openListener } from "../http/listener.ts";
import { Flag, wholeNumber } from "../http/query.ts";
import { type KnownCall, PEOPLE, type Route, route } from "../http/route.ts";
import { parseSince } from "../http/since.ts";
import { streamed } from "../http/streamed.ts";
import { type LogEntry, ndjsonLine, textLine } from "../logs/lines.ts";
import { following, history, startsBefore, type Tail } from "../logs/stream.ts";
import { appInPath } from "./apps.ts";

const MAX_TAIL = 100_000;
const label = z.string().regex(/^[a-z0-9]([-a-z0-9]{0,251}[a-z0-9])?$/, "must be a name");

const LogsQuery = z.strictObject({
  tail: z
    .union([z.literal("all"), wholeNumber(0, MAX_TAIL)], `must be 0 to ${MAX_TAIL}, or "all"`)
    .default(200),
  follow: Flag,
  container: label.optional(),
  release: wholeNumber(1, 999_999_999).optional(),
  pod: label.optional(),
  since: z.string().max(40).optional(),
  previous: Flag,
  timestamps: Flag,
});
type LogsQuery = z.infer<typeof LogsQuery>;

/** Where nothing is said for so long, an empty line tells that somebody still speaks. */
const HEARTBEAT_MS = 15_000;

export const logRoutes: readonly Route[] = [
  route({
    method: "GET",
    path: "/v1/apps/:app/logs",
    auth: PEOPLE,
    scope: "app:read",
    project: "own",
    audit: "app.logs",
    bodyLimit: 0,
    summary: "What the app's containers said, by time; text for people, NDJSON by Accept",
    query: LogsQuery,
    answers: { 200: "lines, one each" },
    handle: async (call) => {
      const app = await appInPath(call.deps.db, call);
      const since = sinceOf(call.query);
      if (call.query.follow && call.query.previous) {
        throw queryInvalid("/follow", "nothing is added to the instance before; leave one out");
      }
      await recordRead(call, `app:${app.name}`);
      const upTo = await newestLogId(call.deps.db, app.id);
      const { container, release, pod } = call.query;
      const filter = { app: app.id, container, release, pod, since };
      const starts = await logStarts(call.deps.db, filter);
      const shown = call.query.previous ? startsBefore(starts) : starts;
      const past: LogFilter = { ...filter, upTo, ...(call.query.previous && { starts: shown }) };
      const sources = new Set(shown.map((it) => `${it.podId} ${it.container}`));
      return answer(call, parts(call, app, { past, filter }), sources.size > 1);
    },
  }),
];

/** The past, and then what comes, until the app is gone, the token ends, or nobody listens. */
async function* parts(
  call: KnownCall<LogsQuery>,
  app: AppRow,
  filters: { readonly past: LogFilter; readonly filter: LogFilter },
): AsyncGenerator<readonly LogEntry[], void> {
  const { past, filter } = filters;
  yield* history(call.deps, past, call.query.tail as Tail);
  if (!call.query.follow) return;
  const signal = AbortSignal.any([call.c.req.raw.signal, call.deps.stopping]);
  const listener = openListener(call);
  let lookedAtMs = Date.now();
  for await (const entries of following(call.deps, filter, past.upTo ?? 0, signal)) {
    yield entries;
    if (!(await listener.mayGoOn())) return;
    if (entries.length > 0 || Date.now() - lookedAtMs < 1_000) continue;
    lookedAtMs = Date.now();
    if (!(await isThere(call, app))) return;
  }
}

function answer(
  call: KnownCall<LogsQuery>,
  source: AsyncGenerator<readonly LogEntry[], void>,
  manySources: boolean,
): Response {
  const isNdjson = (call.c.req.header("accept") ?? "").includes("application/x-ndjson");
  if (isNdjson) return streamed("application/x-ndjson", printed(source, ndjsonLine, "\n"));
  const print = textPrinter(call.query.timestamps, manySources);
  return streamed("text/plain; charset=utf-8", printed(source, print, ""));
}

/** Each part as text; where nothing was said for long, the beat. */
async function* printed(
  source: AsyncGenerator<readonly LogEntry[], void>,
  print: (entry: LogEntry) => string,
  beat: string,
): AsyncGenerator<string, void> {
  let saidAtMs = Date.now();
  for await (const entries of source) {
    const text = entries.map(print).join("") || (Date.now() - saidAtMs > HEARTBEAT_MS ? beat : "");
    if (text === "") continue;
    saidAtMs = Date.now();
    yield text;
  }
}

/** Says whose line it is as soon as there is more than one who speaks. */
function textPrinter(timestamps: boolean, manySources: boolean): (entry: LogEntry) => string {
  const sources = new Set<string>();
  return (entry) => {
    sources.add(`${entry.pod} ${entry.container}`);
    return textLine(entry, { prefix: manySources || sources.size > 1, timestamps });
  };
}

function sinceOf({ since }: LogsQuery): Date | undefined {
  if (since === undefined) return undefined;
  const at = parseSince(since, Date.now());
  if (at) return at;
  throw queryInvalid(
    "/since",
    'must be a time from 1970 on such as 2026-01-31T12:00:00Z, or a duration, "10m"',
  );
}

function queryInvalid(pointer: string, message: string): Problem {
  return new Problem("query-invalid", "The query does not validate.", {
    extras: { errors: [{ pointer, message }] },
  });
}
