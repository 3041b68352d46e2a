import { and, eq, inArray, sql } from "drizzle-orm";
import type { AppId, NodeId, PodId } from "../../contract/ids.ts";
import type { LogBatch, LogBatchAnswer, LogChunk, LogSource } from "../../contract/node/logs.ts";
import type { Db, Tx } from "../client.ts";
import { announce } from "../outbox.ts";
import { pods, releases } from "../schema/core.ts";
import { logChunks } from "../schema/streams.ts";

/* The words of containers, kept by chunk. Reads for people are in log-reads.ts. */

/** A row weighs more than its lines: counted, it bounds the number of rows as well. */
const ROW_BYTES = 256;

/**
 * How much of an app's words is kept: as much as a person may want to read back, and so little that
 * a hundred talkative apps fit on a small disk. Whatever is older or beyond goes, oldest first.
 */
const LOG_RETENTION = { bytesPerApp: 64 * 1024 * 1024, days: 7 } as const;

type Owner = { readonly app: AppId; readonly name: string; readonly release: number };

// ---- called by api alone, with an agent's words -----------------------------------------------------

/**
 * Stores what is new of the batch and answers how far each source is kept. A chunk that begins
 * before that is left out, so the same words twice are stored once; sources of pods that are not this
 * node's, the strangers, are passed over. Batches of one app go one after the other, so that whoever follows an app by the
 * chunks' ids misses none.
 */
export async function storeLogs(
  db: Db,
  node: NodeId,
  batch: LogBatch,
): Promise<{ readonly kept: LogBatchAnswer["kept"]; readonly strangers: readonly PodId[] }> {
  return await db.transaction(async (tx) => {
    const named = [...new Set(batch.chunks.map((it) => it.pod))];
    const owners = await ownersOf(tx, node, named);
    const own = batch.chunks.filter((it) => owners.has(it.pod));
    const apps = [...new Set(own.flatMap((it) => owners.get(it.pod)?.app ?? []))].sort();
    for (const app of apps) {
      await tx.execute(
        sql`select pg_advisory_xact_lock(hashtextextended(${`logs|${app}`}::text, 0))`,
      );
    }
    const kept = await keptOf(tx, own);
    const fresh: LogChunk[] = [];
    for (const chunk of own) {
      const to = kept.get(sourceKey(chunk)) ?? 0;
      if (chunk.to > chunk.from && chunk.from >= to) {
        fresh.push(chunk);
        kept.set(sourceKey(chunk), chunk.to);
      }
    }
    await insertChunks(tx, fresh, owners);
    const changed = new Set(fresh.flatMap((it) => owners.get(it.pod)?.app ?? []));
    for (const app of changed) await announce(tx, `logs:${app}`);
    const sources = new Map(own.map((it) => [sourceKey(it), it]));
    const answers = [...sources.values()].map(({ pod, container, attempt }) => {
      const source = { pod, container, attempt };
      return { ...source, to: kept.get(sourceKey(source)) ?? 0 };
    });
    return { kept: answers, strangers: named.filter((it) => !owners.has(it)) };
  });
}

async function ownersOf(
  tx: Tx,
  node: NodeId,
  ids: readonly PodId[],
): Promise<ReadonlyMap<PodId, Owner>> {
  if (ids.length === 0) return new Map();
  const rows = await tx
    .select({
      pod: pods.id,
      app: pods.appId,
      name: pods.name,
      release: releases.number,
    })
    .from(pods)
    .innerJoin(releases, eq(releases.id, pods.releaseId))
    .where(and(eq(pods.nodeId, node), inArray(pods.id, [...ids])));
  return new Map(rows.map(({ pod, ...owner }) => [pod, owner]));
}

/** One look into the index for each source, however many chunks it has. */
async function keptOf(tx: Tx, chunks: readonly LogSource[]): Promise<Map<string, number>> {
  const asked = new Map(
    chunks.map(({ pod, container, attempt }) => {
      const source = { pod, container, attempt };
      return [sourceKey(source), source];
    }),
  );
  const rows = await tx.execute<{
    pod: PodId;
    container: string;
    attempt: number;
    to_byte: string;
  }>(
    sql`select s.pod, s.container, s.attempt, c.to_byte
        from jsonb_to_recordset((${JSON.stringify([...asked.values()])}::text)::jsonb)
          as s(pod uuid, container text, attempt int)
        cross join lateral (
          select to_byte from log_chunks
          where pod_id = s.pod and container = s.container and attempt = s.attempt
          order by from_byte desc limit 1) c`,
  );
  return new Map(rows.map((it) => [sourceKey(it), Number(it.to_byte)]));
}

async function insertChunks(
  tx: Tx,
  chunks: readonly LogChunk[],
  owners: ReadonlyMap<PodId, Owner>,
): Promise<void> {
  const rows = chunks.flatMap((chunk) => {
    const owner = owners.get(chunk.pod);
    if (!owner) return [];
    const { lines, dropped } = chunk;
    const times = lines.map((it) => it.at).toSorted();
    const [first, last] = [times[0], times.at(-1)];
    return {
      appId: owner.app,
      podId: chunk.pod,
      podName: owner.name,
      release: owner.release,
      container: chunk.container,
      attempt: chunk.attempt,
      fromByte: chunk.from,
      toByte: chunk.to,
      dropped,
      lines,
      sizeBytes: JSON.stringify(lines).length + ROW_BYTES,
      ...(first !== undefined && { firstAt: new Date(first) }),
      ...(last !== undefined && { lastAt: new Date(last) }),
    };
  });
  if (rows.length > 0) await tx.insert(logChunks).values(rows);
}

function sourceKey({ pod, container, attempt }: LogSource): string {
  return `${pod} ${container} ${attempt}`;
}

// ---- called by worker/sweep -------------------------------------------------------------------------

/**
 * The newest chunk of a source says how far its agent was heard: while the agent may still have the
 * file it stays, emptied, lest old words come again as new ones. An agent keeps the files of a
 * container's last starts, until its pod is gone and a while longer.
 */
const IS_CURSOR = sql`(
  not exists (select 1 from log_chunks n where n.pod_id = c.pod_id and n.container = c.container
    and n.attempt = c.attempt and n.from_byte > c.from_byte)
  and not exists (select 1 from log_chunks n where n.pod_id = c.pod_id and n.container = c.container
    and n.attempt >= c.attempt + 3)
  and (c.stored_at > now() - interval '1 hour'
    or exists (select 1 from pod_status s where s.pod_id = c.pod_id)))`;

/** Forgets words that are too old, and the oldest of apps that said too much. Answers how many chunks went. */
export async function forgetOldLogs(
  db: Db,
  limits: { readonly bytesPerApp: number; readonly days: number } = LOG_RETENTION,
): Promise<number> {
  const tooOld = sql`select id from log_chunks
    where stored_at < now() - make_interval(secs => ${limits.days * 86_400}::float8)`;
  let forgotten = await forget(db, tooOld);
  const loud = await db.execute<{ app: AppId }>(
    sql`select app_id as app from log_chunks group by app_id
        having sum(size_bytes) > ${limits.bytesPerApp}::bigint`,
  );
  for (const { app } of loud) {
    const beyond = sql`select id from (
        select id, sum(size_bytes) over (order by id desc) as so_far
        from log_chunks where app_id = ${app}) ranked
      where so_far > ${limits.bytesPerApp}::bigint`;
    forgotten += await forget(db, beyond);
  }
  return forgotten;
}

async function forget(db: Db, ids: ReturnType<typeof sql>): Promise<number> {
  return await db.transaction(async (tx) => {
    await tx.execute(
      sql`update log_chunks c set lines = '[]'::jsonb, size_bytes = ${ROW_BYTES}
          where id in (${ids}) and size_bytes > ${ROW_BYTES} and ${IS_CURSOR}`,
    );
    const gone = await tx.execute(
      sql`delete from log_chunks c where id in (${ids}) and not ${IS_CURSOR} returning 1`,
    );
    return gone.length;
  });
}
