import { eq, sql } from "drizzle-orm";
import { expect, test } from "vitest";
import type { NodeId } from "../../../contract/ids.ts";
import { PROTOCOL } from "../../../contract/node/skew.ts";
import type { Declared } from "../../../db/apps/apps.ts";
import type { Db } from "../../../db/client.ts";
import { storeReport } from "../../../db/nodes/sight.ts";
import { storeUnread } from "../../../db/nodes/unread.ts";
import { releases } from "../../../db/schema/core.ts";
import { scheduleApp } from "../../../worker/schedule/run.ts";
import { aDigest, aReport, built, declare, joinedNode } from "../../support/declared.ts";
import { freshDb } from "../../support/postgres.ts";
import { generation, phases, seen, wantedPods } from "./scheduled.ts";
import { aStatus } from "./world.ts";

/* Agents that do not speak what the control plane speaks: nothing new goes there, and nothing there is lost. */

const EARLIER = `its agent speaks protocol 1, the api ${PROTOCOL}: update Waybill on that host and start it again`;

async function released(db: Db, war: string, rest: object = {}): Promise<Declared> {
  const made = await declare(db, "shop", aDigest(war), rest);
  await built(db, made, aDigest(war));
  await scheduleApp(db, made.app);
  return made;
}

/** The node's agent, of an earlier version, has these pods and this wish in hand, or what it is told now. */
async function speaksEarlier(
  db: Db,
  node: NodeId,
  held?: { readonly pods: readonly PodRow[]; readonly generation: number },
): Promise<void> {
  const { pods, generation: of } = held ?? {
    pods: await there(db, node),
    generation: await generation(db, node),
  };
  const report = aReport(
    pods.map((it) => aStatus(it.id, { ready: true })),
    of,
  );
  await storeReport(db, node, report, { protocol: 1 });
}

type PodRow = Awaited<ReturnType<typeof wantedPods>>[number];

async function there(db: Db, node: NodeId) {
  return (await wantedPods(db)).filter((it) => it.nodeId === node);
}

const waiting = async (db: Db) =>
  (
    await db.execute<{ message: string }>(
      sql`select message from events where type = 'pod-waiting' order by id`,
    )
  ).map((it) => it.message);

test("a rollout goes round a node whose agent is of an earlier version, and its pod there serves until then", async () => {
  await using pg = await freshDb();
  const [a, b] = [await joinedNode(pg.db, "node-a"), await joinedNode(pg.db, "node-b")];
  const first = await released(pg.db, "a", { replicas: 2 });
  for (const node of [a, b]) await seen(pg.db, first.app, node, { ready: true });
  expect(await phases(pg.db)).toEqual(["live"]);
  await speaksEarlier(pg.db, b);

  const second = await released(pg.db, "d", { replicas: 2 });
  const surging = await wantedPods(pg.db);
  for (let turn = 0; turn < 3; turn++) {
    await speaksEarlier(pg.db, b);
    await seen(pg.db, second.app, a, { ready: true });
  }

  expect(surging.map((it) => it.nodeId).toSorted()).toEqual([a, a, b].toSorted());
  expect(await phases(pg.db)).toEqual(["retired", "live"]);
  expect((await wantedPods(pg.db)).map((it) => it.nodeId)).toEqual([a, a]);
});

test("a rollout whose pod went to a node before its agent fell behind says why it waits, and fails by that", async () => {
  await using pg = await freshDb();
  const a = await joinedNode(pg.db, "node-a");
  const good = await released(pg.db, "a");
  await seen(pg.db, good.app, a, { ready: true });
  const held = { pods: await there(pg.db, a), generation: await generation(pg.db, a) };
  const bad = await released(pg.db, "d");
  const fresh = (await there(pg.db, a)).find((it) => it.releaseId === bad.release);

  for (let turn = 0; turn < 2; turn++) {
    await speaksEarlier(pg.db, a, held);
    await scheduleApp(pg.db, bad.app);
  }
  expect(await waiting(pg.db)).toEqual([`pod ${fresh?.name} waits for node node-a: ${EARLIER}`]);

  await pg.db.execute(sql`update pods set created_at = now() - interval '301 seconds'`);
  await pg.db.execute(sql`update releases set phase_at = now() - interval '301 seconds'`);
  await scheduleApp(pg.db, bad.app);

  expect(await phases(pg.db)).toEqual(["live", "failed"]);
  const [row] = await pg.db.select().from(releases).where(eq(releases.id, bad.release));
  expect(row?.failure).toMatchObject({
    slug: "node-incompatible",
    message: `not ready within 300 s: it waits for node node-a: ${EARLIER}`,
  });
  expect((await wantedPods(pg.db)).map((it) => it.id)).toEqual(held.pods.map((it) => it.id));
});

test("a node whose agent is of a later version is not given up, and what it said last proves nothing new", async () => {
  await using pg = await freshDb();
  const [a, b] = [await joinedNode(pg.db, "node-a"), await joinedNode(pg.db, "node-b")];
  const first = await released(pg.db, "a", { replicas: 2 });
  for (const node of [a, b]) await seen(pg.db, first.app, node, { ready: true });
  const before = await wantedPods(pg.db);
  // It said its last word that is read an hour ago, and a later agent speaks there since then.
  const hourAgo = sql`now() - interval '1 hour'`;
  await pg.db.execute(sql`update node_status set seen_at = ${hourAgo} where node_id = ${b}`);
  await pg.db.execute(sql`update workers set seen_at = ${hourAgo}`);
  await storeUnread(pg.db, b, PROTOCOL + 1);

  await seen(pg.db, first.app, a, { ready: true });
  expect((await wantedPods(pg.db)).map((it) => it.id)).toEqual(before.map((it) => it.id));

  const second = await released(pg.db, "d", { replicas: 2 });
  await seen(pg.db, second.app, a, { ready: true });

  // One of each serves for sure; the pod of which nothing is known goes before them.
  const sure = (await there(pg.db, a)).map((it) => it.releaseId);
  expect(sure).toEqual([first.release, second.release]);
  expect(await phases(pg.db)).toEqual(["live", "rolling"]);
});
