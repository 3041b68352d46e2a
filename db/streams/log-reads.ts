import { and, asc, desc, eq, gt, gte, lt, or, type SQL, sql } from "drizzle-orm";
import type { AppId, PodId } from "../../contract/ids.ts";
import type { LogLine } from "../../contract/node/logs.ts";
import type { Tx } from "../client.ts";
import { logChunks } from "../schema/streams.ts";

/** One start of one container. */
export type LogStart = {
  readonly podId: PodId;
  readonly container: string;
  readonly attempt: number;
};

/** Which words of an app: all that is said must hold. */
export type LogFilter = {
  readonly app: AppId;
  readonly container?: string | undefined;
  readonly release?: number | undefined;
  /** A pod's name or id. */
  readonly pod?: string | undefined;
  /** Only these starts. */
  readonly starts?: readonly LogStart[] | undefined;
  /** Chunks that end before this are left out. */
  readonly since?: Date | undefined;
  /** Chunks that came after this one are left out. */
  readonly upTo?: number | undefined;
};

export type LogRow = LogStart & {
  readonly id: number;
  readonly podName: string;
  readonly release: number;
  readonly firstAt: Date;
  readonly lines: readonly LogLine[];
};

/** A place in the order of time. */
export type LogPlace = { readonly firstAt: Date; readonly id: number };

const START = {
  podId: logChunks.podId,
  container: logChunks.container,
  attempt: logChunks.attempt,
};
const ROW = {
  ...START,
  id: logChunks.id,
  podName: logChunks.podName,
  release: logChunks.release,
  firstAt: logChunks.firstAt,
  lines: logChunks.lines,
};

/** The chunk of the app that came last; 0 where there is none. */
export async function newestLogId(tx: Tx, app: AppId): Promise<number> {
  const [row] = await tx
    .select({ id: logChunks.id })
    .from(logChunks)
    .where(eq(logChunks.appId, app))
    .orderBy(desc(logChunks.id))
    .limit(1);
  return row?.id ?? 0;
}

/** Those that came after the chunk `after`, in the order of their coming. */
export async function logsAfter(
  tx: Tx,
  filter: LogFilter,
  after: number,
  limit: number,
): Promise<readonly LogRow[]> {
  return await tx
    .select(ROW)
    .from(logChunks)
    .where(and(matching(filter), gt(logChunks.id, after)))
    .orderBy(asc(logChunks.id))
    .limit(limit);
}

/** In the order of time, those behind `after`. */
export async function logsByTime(
  tx: Tx,
  filter: LogFilter,
  after: LogPlace | undefined,
  limit: number,
): Promise<readonly LogRow[]> {
  const behind =
    after &&
    or(
      gt(logChunks.firstAt, after.firstAt),
      and(eq(logChunks.firstAt, after.firstAt), gt(logChunks.id, after.id)),
    );
  return await tx
    .select(ROW)
    .from(logChunks)
    .where(and(matching(filter), behind))
    .orderBy(asc(logChunks.firstAt), asc(logChunks.id))
    .limit(limit);
}

/** Only the times of the lines, newest chunks first, those before `before`. */
export async function logTimes(
  tx: Tx,
  filter: LogFilter,
  before: LogPlace | undefined,
  limit: number,
): Promise<readonly (LogStart & LogPlace & { readonly times: readonly string[] })[]> {
  const ahead =
    before &&
    or(
      lt(logChunks.firstAt, before.firstAt),
      and(eq(logChunks.firstAt, before.firstAt), lt(logChunks.id, before.id)),
    );
  return await tx
    .select({
      ...START,
      id: logChunks.id,
      firstAt: logChunks.firstAt,
      times: sql<string[]>`jsonb_path_query_array(${logChunks.lines}, '$[*].at')`,
    })
    .from(logChunks)
    .where(and(matching(filter), ahead))
    .orderBy(desc(logChunks.firstAt), desc(logChunks.id))
    .limit(limit);
}

/** Every start that has words here, by pod and container, newest first. */
export async function logStarts(tx: Tx, filter: LogFilter): Promise<readonly LogStart[]> {
  return await tx
    .selectDistinctOn([logChunks.podId, logChunks.container, logChunks.attempt], START)
    .from(logChunks)
    .where(matching(filter))
    .orderBy(logChunks.podId, logChunks.container, desc(logChunks.attempt))
    .limit(10_000);
}

function matching(filter: LogFilter): SQL | undefined {
  const { app, container, release, pod, starts, since, upTo } = filter;
  return and(
    eq(logChunks.appId, app),
    container === undefined ? undefined : eq(logChunks.container, container),
    release === undefined ? undefined : eq(logChunks.release, release),
    pod === undefined
      ? undefined
      : or(eq(logChunks.podName, pod), sql`${logChunks.podId}::text = ${pod}`),
    since === undefined ? undefined : gte(logChunks.lastAt, since),
    upTo === undefined ? undefined : sql`${logChunks.id} <= ${upTo}`,
    starts && startsMatch(starts),
  );
}

function startsMatch(starts: readonly LogStart[]): SQL {
  return sql`exists (
    select 1 from jsonb_to_recordset((${JSON.stringify(starts)}::text)::jsonb)
      as s("podId" uuid, container text, attempt int)
    where s."podId" = ${logChunks.podId} and s.container = ${logChunks.container}
      and s.attempt = ${logChunks.attempt})`;
}
