import { randomUUID } from "node:crypto";
import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { PodId } from "../../contract/ids.ts";
import { PodStatus } from "../../contract/node/protocol.ts";
import { storeReport } from "../../db/nodes/sight.ts";
import { startApi, type TestApi } from "../support/api.ts";
import { aReport, declare, joinedNode } from "../support/declared.ts";
import { storePod } from "../support/pod-rows.ts";
import { aPod } from "../support/pods.ts";

/** An app whose one pod was placed on a node, and how that node tells of it. */
async function placedPod(api: TestApi) {
  const { app, release } = await declare(api.db, "shop");
  const node = await joinedNode(api.db);
  const id = PodId.parse(randomUUID());
  const spec = aPod({ uid: id, name: "shop-1-x" });
  await storePod(api.db, { app, release, node, spec });
  const report = async (container: object, more: object = {}) => {
    const status = PodStatus.parse({
      pod: id,
      phase: "Running",
      ready: true,
      restarts: 0,
      containers: [{ name: "web", state: "running", restarts: 0, ready: true, ...container }],
      ...more,
    });
    await storeReport(api.db, node, aReport([status]));
  };
  const told = async () => {
    const { body } = await api.ask("/v1/apps/shop/events");
    return body.events
      .filter((it: { type: string }) => !it.type.startsWith("release"))
      .map((it: { type: string; release: number }) => `${it.release} ${it.type}`);
  };
  return { report, told };
}

const FAILURE = {
  probe: "readiness",
  at: "2026-01-01T00:00:00Z",
  status: 503,
  latencyMs: 3,
  excerpt: "no",
};

test("what happens on a node is among the app's events", async () => {
  await using api = await startApi();
  const { report, told } = await placedPod(api);

  await report({});
  await report({ state: "exited", ready: false, exitCode: 1, reason: "Error" }, { ready: false });
  await report({ restarts: 1 }, { restarts: 1 });
  await report({ restarts: 1 }, { restarts: 1 });
  await report(
    { state: "exited", restarts: 1, exitCode: 0, reason: "Completed" },
    { phase: "Succeeded" },
  );

  expect(await told()).toEqual(["1 container-restarted", "1 pod-succeeded"]);
});

test("a probe that comes and goes every second is an event a minute", async () => {
  await using api = await startApi();
  const { report, told } = await placedPod(api);
  const flap = async () => {
    await report({ ready: false, probeFailures: [FAILURE] }, { ready: false });
    await report({ probeFailures: [FAILURE] });
  };

  for (let times = 0; times < 5; times++) await flap();
  expect(await told()).toEqual(["1 probe-failing", "1 probe-recovered"]);
  await api.db.execute(sql`update events set at = at - interval '2 minutes'`);
  await flap();

  expect(await told()).toHaveLength(4);
});

test("a container that fares otherwise wakes the scheduler, its usage does not", async () => {
  await using api = await startApi();
  const { report } = await placedPod(api);
  const nudges = async () =>
    (await api.db.execute(sql`select 1 from outbox where topic = 'schedule'`)).length;
  await report({});
  const first = await nudges();

  await report({ usage: { cpuMillis: 5, memoryBytes: 1 } });
  await report({ usage: { cpuMillis: 6, memoryBytes: 2 } });
  expect(await nudges()).toBe(first);
  await report({ state: "waiting", reason: "ErrImagePull", ready: false });

  expect(await nudges()).toBe(first + 1);
});

test("a node tells which runtime handlers it has", async () => {
  await using api = await startApi();
  const node = await joinedNode(api.db);

  await storeReport(api.db, node, { ...aReport([]), handlers: ["kata", "runsc"] });

  expect((await api.ask("/v1/nodes")).body.nodes).toMatchObject([{ handlers: ["kata", "runsc"] }]);
});
