import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import type { AppId, NodeId } from "../../../contract/ids.ts";
import type { Declared } from "../../../db/apps/apps.ts";
import type { Db } from "../../../db/client.ts";
import { storeReport } from "../../../db/nodes/sight.ts";
import { pods, releases } from "../../../db/schema/core.ts";
import { events } from "../../../db/schema/history.ts";
import { scheduleApps } from "../../../worker/schedule/run.ts";
import { aReport, built, declareSpec, joinedNode } from "../../support/declared.ts";
import { freshDb } from "../../support/postgres.ts";
import { generation, phases, wantedPods } from "./scheduled.ts";
import { demands } from "./world.ts";

const OPTIONS = { replaceAfterMs: 300_000 };
const GIB = 1024 ** 3;
const DIGEST = `sha256:${"a".repeat(64)}`;

async function nodesWith(db: Db, names: readonly string[], memoryBytes: number): Promise<NodeId[]> {
  const joined: NodeId[] = [];
  for (const name of names) {
    const node = await joinedNode(db, name);
    await storeReport(db, node, {
      ...aReport([]),
      capacity: { cpuMillis: 100_000, memoryBytes, pods: 100 },
    });
    joined.push(node);
  }
  return joined;
}

async function builtApps(db: Db, count: number, rest: object = {}): Promise<Declared[]> {
  const declared: Declared[] = [];
  for (let at = 0; at < count; at++) {
    const war = { artifact: DIGEST };
    declared.push(await declareSpec(db, { name: `app-${at}`, war, ...rest }));
  }
  for (const it of declared) await built(db, it);
  return declared;
}

const failures = (outcomes: Awaited<ReturnType<typeof scheduleApps>>) =>
  [...outcomes].flatMap(([app, it]) => (it.kind === "failed" ? [[app, String(it.error)]] : []));

/** The memory that pods ask for on each node. */
async function askedOf(db: Db): Promise<readonly number[]> {
  const rows = await db.execute<{ bytes: number }>(sql`
    select sum((demands #>> '{requests,memoryBytes}')::float8) as bytes
    from pods join pod_texts on pod_texts.id = text_id where wanted = 'run' group by node_id`);
  return rows.map((it) => it.bytes);
}

test("many apps are planned one after the other in one transaction, each on what the ones before it left", async () => {
  await using pg = await freshDb();
  const all = await nodesWith(pg.db, ["a", "b"], 2 * GIB);
  const apps = await builtApps(pg.db, 5, { resources: { memory: "1Gi" } });

  const outcomes = await scheduleApps(
    pg.db,
    apps.map((it) => it.app),
    OPTIONS,
  );

  expect(failures(outcomes)).toEqual([]);
  expect(await wantedPods(pg.db)).toHaveLength(4);
  expect(await askedOf(pg.db)).toEqual([2 * GIB, 2 * GIB]);
  expect(await Promise.all(all.map((it) => generation(pg.db, it)))).toEqual([1, 1]);
  const waits = (await pg.db.select().from(events)).filter((it) => it.type === "pod-waiting");
  expect(waits.map((it) => it.message)).toEqual([
    "no node can take the pod: a: short by 1.08G memory; b: short by 1.08G memory",
  ]);
});

test("workers that schedule the same and other apps at once place each pod once and overfill no node", async () => {
  await using pg = await freshDb({ max: 12 });
  const all = await nodesWith(pg.db, ["a", "b", "c"], 8 * GIB);
  const apps = await builtApps(pg.db, 8, { replicas: 3, resources: { memory: "1Gi" } });
  const ids = apps.map((it) => it.app);
  const mixed = (from: number) => [...ids.slice(from), ...ids.slice(0, from)].slice(0, 5);

  const outcomes = await Promise.all(
    [0, 1, 3, 4, 6, 7].map((from) => scheduleApps(pg.db, mixed(from), OPTIONS)),
  );

  expect(outcomes.flatMap(failures)).toEqual([]);
  const placed = await wantedPods(pg.db);
  const perApp = Map.groupBy(placed, (it) => it.appId);
  expect(ids.map((it) => perApp.get(it)?.length)).toEqual(ids.map(() => 3));
  for (const bytes of await askedOf(pg.db)) expect(bytes).toBeLessThanOrEqual(8 * GIB);
  const ports = placed.map((it) => `${it.nodeId} ${it.nodePort}`);
  expect(new Set(ports).size).toBe(placed.length);
  const raised = await Promise.all(all.map((it) => generation(pg.db, it)));
  expect(Math.max(...raised)).toBeLessThanOrEqual(6);
  const [stats] = await pg.db.execute<{ deadlocks: number }>(
    sql`select deadlocks::int from pg_stat_database where datname = current_database()`,
  );
  expect(stats?.deadlocks).toBe(0);
}, 60_000);

test("of two such pods at once on two hosts one runs, and the other waits and holds nothing", async () => {
  await using pg = await freshDb({ max: 10 });
  await nodesWith(pg.db, ["a"], GIB);
  await nodesWith(pg.db, ["b"], 2 * GIB);
  const apps = await builtApps(pg.db, 2, { resources: { memory: "1536Mi" } });

  await Promise.all(apps.map((it) => scheduleApps(pg.db, [it.app], OPTIONS)));

  const [pod, ...others] = await wantedPods(pg.db);
  expect(others).toEqual([]);
  const small = await declareSpec(pg.db, {
    name: "small",
    war: { artifact: DIGEST },
    resources: { memory: "512Mi" },
    replicas: 2,
  });
  await built(pg.db, small);
  await scheduleApps(pg.db, [small.app], OPTIONS);
  const placed = (await wantedPods(pg.db)).filter((it) => it.id !== pod?.id);
  expect(placed.map((it) => it.appId)).toEqual([small.app, small.app]);
});

test("an app whose stored spec this version does not take is left out, and spoils no other's pass", async () => {
  await using pg = await freshDb();
  await nodesWith(pg.db, ["a"], 8 * GIB);
  const apps = (await builtApps(pg.db, 3)).map((it) => it.app) as [AppId, AppId, AppId];
  await pg.db.execute(sql`
    update releases set spec = spec - 'rollout' || '{"war": {"packaging": "of later"}}'
    where app_id = ${apps[1]}`);

  const outcomes = await scheduleApps(pg.db, apps, OPTIONS);

  expect(failures(outcomes)).toEqual([[apps[1], expect.any(String)]]);
  expect((await wantedPods(pg.db)).map((it) => it.appId).toSorted()).toEqual(
    [apps[0], apps[2]].toSorted(),
  );
});

test("where the database refuses what one app's plan writes, the others' is written all the same", async () => {
  await using pg = await freshDb();
  await nodesWith(pg.db, ["a"], 8 * GIB);
  const apps = await builtApps(pg.db, 5);
  await pg.db.execute(
    sql`alter table pods add constraint refused check (name not like 'app-3-%') not valid`,
  );

  const outcomes = await scheduleApps(
    pg.db,
    apps.map((it) => it.app),
    OPTIONS,
  );

  expect(failures(outcomes).map(([app]) => app)).toEqual([apps[3]?.app]);
  expect(await wantedPods(pg.db)).toHaveLength(4);
  expect((await phases(pg.db)).filter((it) => it === "built")).toHaveLength(1);
});

test("a pass that finds its nodes changed once it is to write is made anew, and writes nothing before", async () => {
  await using pg = await freshDb({ max: 10 });
  const [node] = (await nodesWith(pg.db, ["a"], 8 * GIB)) as [NodeId];
  const apps = await builtApps(pg.db, 3);
  const held = Promise.withResolvers<void>();
  const holder = pg.db.transaction(async (tx) => {
    await tx.execute(
      sql`update node_plans set generation = generation + 1 where node_id = ${node}`,
    );
    await held.promise;
  });

  const scheduled = scheduleApps(
    pg.db,
    apps.map((it) => it.app),
    OPTIONS,
  );
  await expect
    .poll(() => pg.db.execute(sql`select 1 from pg_stat_activity where wait_event_type = 'Lock'`))
    .toHaveLength(1);
  expect(await pg.db.select().from(pods)).toEqual([]);
  held.resolve();
  await holder;

  expect(failures(await scheduled)).toEqual([]);
  expect(await wantedPods(pg.db)).toHaveLength(3);
  expect(await generation(pg.db, node)).toBe(2);
});

test("what pods ask is stored with them; of a text from before, the text says it", async () => {
  await using pg = await freshDb();
  await nodesWith(pg.db, ["a"], 2 * GIB);
  const [first, second] = await builtApps(pg.db, 2, { resources: { memory: "1536Mi" } });
  await scheduleApps(pg.db, [first?.app as AppId], OPTIONS);
  const [text] = await pg.db.execute<{ demands: unknown }>(sql`select demands from pod_texts`);
  expect(text?.demands).toMatchObject({ requests: { memoryBytes: 1.5 * GIB, pods: 1 } });
  expect(Object.keys(text?.demands as object)).toEqual(
    expect.arrayContaining(Object.keys(demands()).filter((it) => it !== "handler")),
  );

  await pg.db.execute(sql`update pod_texts set demands = null`);
  await scheduleApps(pg.db, [second?.app as AppId], OPTIONS);

  expect(await wantedPods(pg.db)).toHaveLength(1);
  expect(await pg.db.select().from(releases)).toHaveLength(2);
});
