import { eq, sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { PodId } from "../../../contract/ids.ts";
import { forgetGonePods } from "../../../db/apps/placements.ts";
import { findUnsettled } from "../../../db/apps/unsettled.ts";
import { storeReport } from "../../../db/nodes/sight.ts";
import { apps, pods, releases } from "../../../db/schema/core.ts";
import { scheduleApp } from "../../../worker/schedule/run.ts";
import { aDigest, aReport, built, declare, joinedNode } from "../../support/declared.ts";
import { freshDb } from "../../support/postgres.ts";
import { generation, phases, seen, wantedPods } from "./scheduled.ts";
import { aContainer, aStatus } from "./world.ts";

test("a built release becomes a pod on the node, and the node's generation grows by one", async () => {
  await using pg = await freshDb();
  const node = await joinedNode(pg.db);
  const declared = await declare(pg.db, "shop");
  await built(pg.db, declared);

  await scheduleApp(pg.db, declared.app);

  const [pod, ...others] = await wantedPods(pg.db);
  expect(others).toEqual([]);
  expect(pod?.spec.spec.containers[0]?.image).toBe(
    `waybill.internal/apps/default/shop@${aDigest("c")}`,
  );
  expect(pod?.spec.metadata.uid).toBe(pod?.id);
  expect(await generation(pg.db, node)).toBe(1);
  expect(await phases(pg.db)).toEqual(["rolling"]);
});

test("looking again, and from many workers at once, places nothing twice", async () => {
  await using pg = await freshDb({ max: 10 });
  const node = await joinedNode(pg.db);
  const declared = await declare(pg.db, "shop", aDigest("a"), { replicas: 3 });
  await built(pg.db, declared);

  await Promise.all(Array.from({ length: 8 }, () => scheduleApp(pg.db, declared.app)));

  expect(await wantedPods(pg.db)).toHaveLength(3);
  expect(await generation(pg.db, node)).toBe(1);
});

test("apps that are scheduled at the same moment all get their pods, and each change its generation", async () => {
  await using pg = await freshDb({ max: 10 });
  const node = await joinedNode(pg.db);
  const names = ["one", "two", "three", "four", "five"];
  const declared = await Promise.all(names.map((name) => declare(pg.db, name)));
  for (const it of declared) await built(pg.db, it);

  await Promise.all(declared.map((it) => scheduleApp(pg.db, it.app)));

  expect(await wantedPods(pg.db)).toHaveLength(5);
  expect(await generation(pg.db, node)).toBe(5);
});

test("a release is live once its pod is ready, and retires the one before it", async () => {
  await using pg = await freshDb();
  const node = await joinedNode(pg.db);
  const first = await declare(pg.db, "shop", aDigest("a"));
  await built(pg.db, first);
  await scheduleApp(pg.db, first.app);
  await seen(pg.db, first.app, node, { ready: true });
  expect(await phases(pg.db)).toEqual(["live"]);

  const second = await declare(pg.db, "shop", aDigest("d"));
  await built(pg.db, second, aDigest("e"));
  await scheduleApp(pg.db, second.app);
  expect(await wantedPods(pg.db)).toHaveLength(2);
  await seen(pg.db, second.app, node, { ready: true });

  expect(await phases(pg.db)).toEqual(["retired", "live"]);
  expect((await wantedPods(pg.db)).map((pod) => pod.releaseId)).toEqual([second.release]);
});

test("a bad release fails with its reason and log, and the good one keeps its pod", async () => {
  await using pg = await freshDb();
  const node = await joinedNode(pg.db);
  const good = await declare(pg.db, "shop", aDigest("a"));
  await built(pg.db, good);
  await scheduleApp(pg.db, good.app);
  await seen(pg.db, good.app, node, { ready: true });
  const [goodPod] = await wantedPods(pg.db);
  const bad = await declare(pg.db, "shop", aDigest("d"));
  await built(pg.db, bad, aDigest("e"));
  await scheduleApp(pg.db, bad.app);

  const status = (id: PodId) =>
    id === goodPod?.id
      ? aStatus(id, { ready: true })
      : aStatus(id, {
          restarts: 3,
          containers: [aContainer({ state: "exited", exitCode: 1, restarts: 3 })],
          logTail: ["boom"],
        });
  await storeReport(
    pg.db,
    node,
    aReport(
      (await wantedPods(pg.db)).map((pod) => status(PodId.parse(pod.id))),
      await generation(pg.db, node),
    ),
  );
  await scheduleApp(pg.db, bad.app);

  expect(await phases(pg.db)).toEqual(["live", "failed"]);
  expect((await wantedPods(pg.db)).map((pod) => pod.id)).toEqual([goodPod?.id]);
  const [row] = await pg.db.select().from(releases).where(eq(releases.id, bad.release));
  expect(row?.failure).toEqual({
    slug: "app-crashes",
    message: expect.stringContaining("exit code 1"),
    log: ["boom"],
  });
});

test("what a failed release left is looked at again, also where no bell rings", async () => {
  await using pg = await freshDb();
  const node = await joinedNode(pg.db);
  const good = await declare(pg.db, "shop", aDigest("a"));
  await built(pg.db, good);
  await scheduleApp(pg.db, good.app);
  await seen(pg.db, good.app, node, { ready: true });
  await pg.db.update(releases).set({ phaseAt: sql`now() - interval '1 minute'` });
  expect(await findUnsettled(pg.db)).toEqual([]);

  const bad = await declare(pg.db, "shop", aDigest("d"));
  await built(pg.db, bad, aDigest("e"));
  await scheduleApp(pg.db, bad.app);
  await pg.db.update(releases).set({ phase: "failed" }).where(eq(releases.id, bad.release));

  expect(await findUnsettled(pg.db)).toMatchObject([{ subject: good.app, expected: true }]);
});

test("a stored spec that no rule accepts any more ends its release, and what runs goes on", async () => {
  await using pg = await freshDb();
  const node = await joinedNode(pg.db);
  const good = await declare(pg.db, "shop", aDigest("a"));
  await built(pg.db, good);
  await scheduleApp(pg.db, good.app);
  await seen(pg.db, good.app, node, { ready: true });
  const next = await declare(pg.db, "shop", aDigest("d"));
  await built(pg.db, next, aDigest("e"));
  const outdated = sql`jsonb_set(${releases.spec}, '{resources,cpu}', '"all of them"')`;
  await pg.db.update(releases).set({ spec: outdated });

  await scheduleApp(pg.db, good.app);
  await seen(pg.db, good.app, node, { ready: true });

  expect(await phases(pg.db)).toEqual(["live", "failed"]);
  expect(await wantedPods(pg.db)).toHaveLength(1);
  const [row] = await pg.db.select().from(releases).where(eq(releases.id, next.release));
  expect(row?.failure).toMatchObject({
    slug: "spec-refused",
    message: expect.stringMatching(
      /^its spec is not accepted any more \(.*cpu.*declare the app anew$/,
    ),
  });
});

test("a deleted app loses its pods and keeps no release under way", async () => {
  await using pg = await freshDb();
  await joinedNode(pg.db);
  const declared = await declare(pg.db, "shop");
  await built(pg.db, declared);
  await scheduleApp(pg.db, declared.app);

  await pg.db.update(apps).set({ deletedAt: sql`now()` }).where(eq(apps.id, declared.app));
  await scheduleApp(pg.db, declared.app);

  expect(await wantedPods(pg.db)).toEqual([]);
  expect(await phases(pg.db)).toEqual(["cancelled"]);
});

test("a removed pod is forgotten a day later, once its node knows, also of a deleted app that nobody schedules again", async () => {
  await using pg = await freshDb();
  const node = await joinedNode(pg.db);
  const declared = await declare(pg.db, "shop", aDigest("a"), { replicas: 2 });
  await built(pg.db, declared);
  await scheduleApp(pg.db, declared.app);
  const [there, unseen] = await wantedPods(pg.db);
  if (!there || !unseen) throw new Error("two pods were asked for");
  await storeReport(pg.db, node, aReport([aStatus(there.id)]));
  await pg.db.update(apps).set({ deletedAt: sql`now()` });
  await scheduleApp(pg.db, declared.app);

  await forgetGonePods(pg.db);
  expect(await pg.db.select().from(pods)).toHaveLength(2);
  await pg.db.update(pods).set({ goneAt: sql`now() - interval '25 hours'` });
  await forgetGonePods(pg.db);
  expect(await pg.db.select().from(pods)).toHaveLength(2);
  await storeReport(pg.db, node, aReport([aStatus(there.id)], await generation(pg.db, node)));
  await forgetGonePods(pg.db);

  expect((await pg.db.select().from(pods)).map((pod) => pod.id)).toEqual([there.id]);
});

test("a worker whose clock is wrong places and judges as any other", async () => {
  await using pg = await freshDb();
  const node = await joinedNode(pg.db);
  const declared = await declare(pg.db, "shop");
  await built(pg.db, declared);

  using _ = anotherClock(7_200_000);
  await scheduleApp(pg.db, declared.app);
  await seen(pg.db, declared.app, node, { ready: true });

  expect(await wantedPods(pg.db)).toHaveLength(1);
  expect(await phases(pg.db)).toEqual(["live"]);
});

/** This process's clock is wrong by so much, until the end of the block. */
function anotherClock(byMs: number): Disposable {
  const right = Date.now;
  Date.now = () => right() + byMs;
  return {
    [Symbol.dispose]: () => {
      Date.now = right;
    },
  };
}
