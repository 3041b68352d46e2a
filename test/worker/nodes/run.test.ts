import { eq, sql } from "drizzle-orm";
import { expect, test } from "vitest";
import type { AppId, NodeId, PodId } from "../../../contract/ids.ts";
import type { Db } from "../../../db/client.ts";
import { storeReport } from "../../../db/nodes/sight.ts";
import { controlPlane } from "../../../db/schema/control.ts";
import { nodeStatus, nodes } from "../../../db/schema/core.ts";
import { openLog } from "../../../kit/log.ts";
import { nodesPass } from "../../../worker/nodes/run.ts";
import { scheduleApp } from "../../../worker/schedule/run.ts";
import { aDigest, aReport, built, declare, joinedNode } from "../../support/declared.ts";
import { freshDb } from "../../support/postgres.ts";
import { generation, phases, seen, wantedPods } from "../schedule/scheduled.ts";
import { aStatus } from "../schedule/world.ts";

const LONG = sql`now() - interval '10 minutes'`;

/** A pass over the nodes; answers the apps that it rang for. */
async function look(db: Db): Promise<readonly AppId[]> {
  const rung: AppId[] = [];
  const ring = async (app: AppId) => {
    rung.push(app);
  };
  await nodesPass({ db, log: openLog("test"), replaceAfterMs: 300_000, ring })();
  return rung;
}

/** Nobody has heard of this node for ten minutes, and the control plane was there all the time. */
async function vanish(db: Db, node: NodeId): Promise<void> {
  await look(db);
  await db.update(controlPlane).set({ calmSince: LONG });
  await db.update(nodeStatus).set({ seenAt: LONG }).where(eq(nodeStatus.nodeId, node));
}

async function liveApp(db: Db, rest: object = {}) {
  const app = await declare(db, "shop", aDigest("a"), rest);
  await built(db, app);
  await scheduleApp(db, app.app);
  const [pod] = await wantedPods(db);
  if (!pod) throw new Error("no pod was placed");
  await seen(db, app.app, pod.nodeId, { ready: true });
  return { app: app.app, pod };
}

test("the pods of a node that is silent for long are made anew elsewhere", async () => {
  await using pg = await freshDb();
  const [a, b] = [await joinedNode(pg.db, "a"), await joinedNode(pg.db, "b")];
  const { app, pod } = await liveApp(pg.db);
  await vanish(pg.db, pod.nodeId);

  expect(await look(pg.db)).toEqual([app]);
  await scheduleApp(pg.db, app);

  const fresh = (await wantedPods(pg.db)).find((it) => it.id !== pod.id);
  expect(fresh?.nodeId).toBe([a, b].find((it) => it !== pod.nodeId));
  await storeReport(pg.db, fresh?.nodeId as NodeId, ready(fresh?.id as PodId));
  await scheduleApp(pg.db, app);
  expect((await wantedPods(pg.db)).map((it) => it.id)).toEqual([fresh?.id]);
});

test("no pod is made anew before a worker has looked at the nodes for a while", async () => {
  await using pg = await freshDb();
  await joinedNode(pg.db, "a");
  await joinedNode(pg.db, "b");
  const { app, pod } = await liveApp(pg.db);
  await vanish(pg.db, pod.nodeId);
  await pg.db.update(controlPlane).set({ lastPassAt: sql`now() - interval '31 seconds'` });

  await scheduleApp(pg.db, app);
  expect(await look(pg.db)).toEqual([]);
  await scheduleApp(pg.db, app);

  expect((await wantedPods(pg.db)).map((it) => it.id)).toEqual([pod.id]);
});

test("a singleton is made anew at once where its node is fenced, and not before", async () => {
  await using pg = await freshDb();
  await joinedNode(pg.db, "a");
  await joinedNode(pg.db, "b");
  const { app, pod } = await liveApp(pg.db, { singleton: true });
  expect(pod.spec.metadata.annotations).toEqual({ "waybill.dev/singleton": "true" });
  await vanish(pg.db, pod.nodeId);
  await look(pg.db);

  await scheduleApp(pg.db, app);
  expect((await wantedPods(pg.db)).map((it) => it.id)).toEqual([pod.id]);
  await pg.db.update(nodes).set({ fencedAt: sql`now()` }).where(eq(nodes.id, pod.nodeId));
  expect(await look(pg.db)).toEqual([app]);
  await scheduleApp(pg.db, app);

  const [fresh, ...others] = await wantedPods(pg.db);
  expect(others).toEqual([]);
  expect(fresh?.nodeId).not.toBe(pod.nodeId);
});

test("a singleton's next pod waits for its node's word, also for one that was never seen", async () => {
  await using pg = await freshDb();
  const node = await joinedNode(pg.db);
  const first = await declare(pg.db, "shop", aDigest("a"), { singleton: true });
  await built(pg.db, first);
  await scheduleApp(pg.db, first.app);
  const next = await declare(pg.db, "shop", aDigest("d"), { singleton: true });
  await built(pg.db, next, aDigest("e"));

  await scheduleApp(pg.db, next.app);
  await scheduleApp(pg.db, next.app);
  expect(await wantedPods(pg.db)).toEqual([]);
  await storeReport(pg.db, node, aReport([], (await generation(pg.db, node)) - 1));
  await scheduleApp(pg.db, next.app);
  expect(await wantedPods(pg.db)).toEqual([]);
  await storeReport(pg.db, node, aReport([], await generation(pg.db, node)));
  await scheduleApp(pg.db, next.app);

  expect((await wantedPods(pg.db)).map((it) => it.releaseId)).toEqual([next.release]);
  expect(await phases(pg.db)).toEqual(["superseded", "rolling"]);
});

function ready(pod: PodId) {
  return aReport([aStatus(pod, { ready: true })]);
}
