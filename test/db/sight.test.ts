import { eq, sql } from "drizzle-orm";
import { expect, test } from "vitest";
import type { AppId, NodeId } from "../../contract/ids.ts";
import type { PodStatus, Usage } from "../../contract/node/protocol.ts";
import { PROTOCOL } from "../../contract/node/skew.ts";
import type { Db } from "../../db/client.ts";
import { podsOfApps, storeReport } from "../../db/nodes/sight.ts";
import { storeUnread } from "../../db/nodes/unread.ts";
import { fenceNode, forgetNode } from "../../db/nodes/wishes.ts";
import { nodeStatus, nodes, pods } from "../../db/schema/core.ts";
import { scheduleApp } from "../../worker/schedule/run.ts";
import { aReport, built, declare, joinedNode } from "../support/declared.ts";
import { freshDb } from "../support/postgres.ts";
import { aContainer, aStatus } from "../worker/schedule/world.ts";

/** One app's pods on one node, all of which run. */
async function running(db: Db, replicas: number) {
  const node = await joinedNode(db);
  const shop = await declare(db, "shop", undefined, { replicas, rollout: { maxSurge: replicas } });
  await built(db, shop);
  await scheduleApp(db, shop.app);
  const rows = await db.select({ id: pods.id }).from(pods).where(eq(pods.appId, shop.app));
  const report = (usage: Usage, more: Partial<PodStatus> = {}) =>
    aReport(
      rows.map(({ id }) => {
        const containers = [aContainer({ state: "running", ready: true, usage })];
        return aStatus(id, { ready: true, containers, ...more });
      }),
    );
  return { app: shop.app, node, report };
}

/** How many rows of `pod_status` this report writes. */
async function written(db: Db, node: NodeId, report: ReturnType<typeof aReport>): Promise<number> {
  const versions = async () =>
    (await db.execute<{ at: string }>(sql`select xmin || '/' || ctid as at from pod_status`)).map(
      (it) => it.at,
    );
  const before = new Set(await versions());
  await storeReport(db, node, report);
  return (await versions()).filter((it) => !before.has(it)).length;
}

const usageOf = async (db: Db, app: AppId) =>
  (await podsOfApps(db, [app])).get(app)?.map((it) => it.status?.containers[0]?.usage);

test("a report that was under way when its node was fenced gives it no address back", async () => {
  await using pg = await freshDb();
  const node = await joinedNode(pg.db);
  const report = { ...aReport([]), address: "10.9.0.1" };
  const stored = async () => {
    await storeReport(pg.db, node, report, { print: "the same" });
    return await pg.db
      .select({ address: nodeStatus.address, lastReport: nodeStatus.lastReport })
      .from(nodeStatus);
  };
  await stored();

  await pg.db.transaction((tx) => fenceNode(tx, node));
  // It is to be read whole again, also where the node says the same when it is taken back.
  expect(await stored()).toEqual([{ address: null, lastReport: null }]);

  await pg.db.update(nodes).set({ fencedAt: null });
  expect(await stored()).toMatchObject([{ address: "10.9.0.1" }]);
});

test("a report of a node that was removed meanwhile is of no node, whatever its agent speaks", async () => {
  await using pg = await freshDb();
  const node = await joinedNode(pg.db);
  await storeReport(pg.db, node, aReport([]));
  expect(await storeUnread(pg.db, node, PROTOCOL + 1)).toBe(true);

  await pg.db.transaction((tx) => forgetNode(tx, node));

  expect(await storeReport(pg.db, node, aReport([]))).toEqual({ kind: "no-node" });
  expect(await storeUnread(pg.db, node, PROTOCOL + 1)).toBe(false);
});

test("what containers take is told as it was last seen, and writes no row of their pods", async () => {
  await using pg = await freshDb();
  const { app, node, report } = await running(pg.db, 5);
  const [idle, busy] = [
    { cpuMillis: 1, memoryBytes: 1_000 },
    { cpuMillis: 900, memoryBytes: 2_000 },
  ];

  expect(await written(pg.db, node, report(idle))).toBe(5);
  expect(await usageOf(pg.db, app)).toEqual(Array(5).fill(idle));
  expect(await written(pg.db, node, report(busy))).toBe(0);
  expect(await usageOf(pg.db, app)).toEqual(Array(5).fill(busy));
  expect(await written(pg.db, node, report(busy, { restarts: 1 }))).toBe(5);
});
