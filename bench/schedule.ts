import postgres from "postgres";
import type { AppId } from "../contract/ids.ts";
import { connect, type Db } from "../db/client.ts";
import { migrateDatabase } from "../db/migrate.ts";
import { gather } from "../kit/gather.ts";
import { startCluster } from "../test/support/postgres-cluster.ts";
import { scheduleApp, scheduleApps } from "../worker/schedule/run.ts";
import { APPS, emptyFleet, NODES, type Rows, storeFleet } from "./fleet-rows.ts";
import { measurePairs, median, printPairs, timed } from "./pairs.ts";

const PAIRS = 9;
const SINGLE_PAIRS = 100;
/** As in worker/main.ts. */
const APPS_AT_ONCE = 200;
const REPLACE_AFTER_MS = 300_000;

type Lab = { readonly db: Db; readonly sql: postgres.Sql; readonly rows: Rows };

/** How fast a fleet's pods get their nodes, on the disk, and how long one look takes while they stand there. */
export async function run(): Promise<object> {
  await using cluster = await startCluster({ durable: true });
  const url = `${cluster.url}/bench`;
  const admin = postgres(`${cluster.url}/postgres`, { max: 1 });
  await admin.unsafe("create database bench");
  await admin.end();
  await migrateDatabase(url);
  const sql = postgres(url, { max: 1, onnotice: () => undefined });
  const { db, close } = connect(url, { max: 4, name: "bench" });
  try {
    const rows = await storeFleet(sql);
    const lab = { db, sql, rows };
    return { placing: await placing(lab), looking: await looking(lab) };
  } finally {
    await close();
    await sql.end();
  }
}

/** From the first nudge to the last commit, against the statements that store the same rows. */
async function placing(lab: Lab) {
  const { db, sql, rows } = lab;
  let stored: Stored | undefined;
  const pairs = await measurePairs(`${rows.pods} pods`, PAIRS, {
    ours: async () => {
      await emptyFleet(sql);
      const took = await timed(() => placeAll(db, rows.apps));
      stored = await readBack(sql, rows.pods);
      return took;
    },
    baseline: async () => {
      if (!stored) throw new Error("nothing was placed");
      await emptyFleet(sql);
      const batches = stored.batches;
      return await timed(async () => {
        for (const batch of batches) await storeRaw(sql, batch);
      });
    },
  });
  const baseline = `insert into pods, insert into events ... select from unnest, update node_plans and releases ... from unnest
            of the same rows, ${APPS_AT_ONCE} apps a transaction`;
  const title = `${rows.pods} pods of ${APPS} apps on ${NODES} nodes, fsync and synchronous_commit on`;
  printPairs(title, baseline, "20,000 pods a second", pairs);
  const rate = (all: readonly number[]) => Math.round((rows.pods / median(all)) * 1_000);
  const podsPerSecond = { ours: rate(pairs.ours), baseline: rate(pairs.baseline) };
  const best = Math.round((rows.pods / Math.min(...pairs.ours)) * 1_000);
  console.log(
    `  pods a second: median ${podsPerSecond.ours}, highest ${best}; baseline: median ${podsPerSecond.baseline}`,
  );
  return { ...pairs, pods: rows.pods, podsPerSecond };
}

async function placeAll(db: Db, apps: readonly AppId[]): Promise<void> {
  const lookAfter = gather({
    most: APPS_AT_ONCE,
    pass: (some: readonly AppId[]) => scheduleApps(db, some, { replaceAfterMs: REPLACE_AFTER_MS }),
  });
  const outcomes = await Promise.all(apps.map(lookAfter));
  for (const it of outcomes) if (it.kind === "failed") throw it.error;
}

type Batch = Readonly<Record<"pods" | "texts" | "events" | "plans", readonly postgres.Row[]>>;
type Stored = { readonly batches: readonly Batch[] };

/** What was stored, by the transaction that stored it; and whether it is what should be there. */
async function readBack(sql: postgres.Sql, asked: number): Promise<Stored> {
  const pods = await sql`select *, xmin::text as batch from pods`;
  const full = await sql`
    select 1 from pods join pod_texts on pod_texts.id = text_id group by node_id
    having sum((demands #>> '{requests,memoryBytes}')::bigint) > 12884901888`;
  if (pods.length !== asked || full.length > 0)
    throw new Error(`${pods.length} of ${asked} pods, and ${full.length} nodes hold too much`);
  const texts = await sql`select *, xmin::text as batch from pod_texts`;
  const events = await sql`select *, xmin::text as batch from events`;
  const batches = [...Map.groupBy(pods, (it) => it.batch)].map(([batch, of]) => ({
    pods: of,
    texts: texts.filter((it) => it.batch === batch),
    events: events.filter((it) => it.batch === batch),
    plans: [...new Set(of.map((it) => it.node_id))].map((node) => ({ node })),
  }));
  return { batches };
}

async function storeRaw(sql: postgres.Sql, { pods, texts, events, plans }: Batch): Promise<void> {
  const column = (rows: readonly postgres.Row[], name: string) => rows.map((it) => it[name]);
  await sql.begin(async (tx) => {
    await tx`
      update node_plans set generation = generation + 1
      from unnest(${column(plans, "node")}::uuid[]) as it (node) where node_id = node`;
    await tx`
      update releases set phase = 'rolling', phase_at = now()
      from unnest(${column(texts, "release_id")}::uuid[]) as it (release) where id = release`;
    await tx`
      insert into pod_texts (id, release_id, spec, demands)
      select id, release, spec, demands from unnest(${column(texts, "id")}::bigint[],
        ${column(texts, "release_id")}::uuid[],
        ${texts.map((it) => JSON.stringify(it.spec))}::text[]::jsonb[],
        ${texts.map((it) => JSON.stringify(it.demands))}::text[]::jsonb[])
        as it (id, release, spec, demands)`;
    await tx`
      insert into pods (id, app_id, release_id, node_id, name, text_id, node_port)
      select * from unnest(${column(pods, "id")}::uuid[], ${column(pods, "app_id")}::uuid[],
        ${column(pods, "release_id")}::uuid[], ${column(pods, "node_id")}::uuid[],
        ${column(pods, "name")}::text[], ${column(pods, "text_id")}::bigint[],
        ${column(pods, "node_port")}::int[])`;
    await tx`
      insert into events (app_id, release_id, type, message)
      select * from unnest(${column(events, "app_id")}::uuid[], ${column(events, "release_id")}::uuid[],
        ${column(events, "type")}::text[], ${column(events, "message")}::text[])`;
  });
}

/** One look at one app that has all it asks for, among all the others' pods. */
async function looking({ db, sql, rows }: Lab) {
  await emptyFleet(sql);
  await placeAll(db, rows.apps);
  await standsAndRuns(sql);
  await placeAll(db, rows.apps);
  await sql`vacuum analyze`;
  const pairs = await measurePairs("one app", SINGLE_PAIRS, {
    ours: (round) => timed(() => scheduleApp(db, rows.apps[(round * 7) % rows.apps.length] ?? "")),
    baseline: () => timed(() => readRaw(sql)),
  });
  const baseline = `select of ${NODES} nodes with plan and status, and of id, node, text and status of ${rows.pods} pods`;
  printPairs(
    "One look at one app, nothing to do",
    baseline,
    "none; the raw read is the floor",
    pairs,
  );
  const p99Ms = { ours: p99(pairs.ours), baseline: p99(pairs.baseline) };
  console.log(
    `  p99: ours ${Math.round(p99Ms.ours)} ms, baseline ${Math.round(p99Ms.baseline)} ms`,
  );
  return { ...pairs, p99Ms };
}

function p99(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.ceil(sorted.length * 0.99) - 1] ?? Number.NaN;
}

/** Every pod is seen running and ready. */
async function standsAndRuns(sql: postgres.Sql): Promise<void> {
  await sql`
    insert into pod_status (pod_id, node_id, status, since)
    select id, node_id, jsonb_build_object('pod', id, 'phase', 'Running', 'ready', true, 'restarts', 0,
      'containers', '[]'::jsonb, 'logTail', '[]'::jsonb), now() - interval '1 hour'
    from pods`;
  await sql`update node_status set observed_generation = generation from node_plans
    where node_plans.node_id = node_status.node_id`;
}

async function readRaw(sql: postgres.Sql): Promise<void> {
  await sql`
    select nodes.*, generation, seen_at, capacity, handlers from nodes
    join node_plans on node_plans.node_id = nodes.id join node_status on node_status.node_id = nodes.id`;
  await sql`
    select id, pods.node_id, text_id, wanted, node_port, status ->> 'phase' as phase
    from pods left join pod_status on pod_id = id`;
}
