import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { AppId, type NodeId, ReleaseId } from "../../contract/ids.ts";
import type { PodStatus } from "../../contract/node/protocol.ts";
import type { Declared } from "../../db/apps/apps.ts";
import { findUnsettled } from "../../db/apps/unsettled.ts";
import { storeReport } from "../../db/nodes/sight.ts";
import { scheduleApp } from "../../worker/schedule/run.ts";
import { startApi, type TestApi } from "../support/api.ts";
import { aDigest, aReport, built, joinedNode } from "../support/declared.ts";
import { aPodDocument } from "../support/materials.ts";
import { generation, wantedPods } from "../worker/schedule/scheduled.ts";
import { aContainer, aStatus } from "../worker/schedule/world.ts";

/* `rollout.autoRevert: false`, through the door that people use: the pods of a failed release are there to be looked into. */

const READY = { ready: true };
const CRASHES = {
  containers: [aContainer({ name: "app", restarts: 3, exitCode: 1, state: "exited" })],
  logTail: ["no such table: carts"],
};
const PROBED = { readinessProbe: { tcpSocket: { port: 80 } }, ports: [{ containerPort: 80 }] };

const put = (api: TestApi, version: string, replicas = 2) => {
  const env = [{ name: "VERSION", value: version }];
  const json = {
    ...{ pod: aPodDocument("shop", { ...PROBED, env }), replicas },
    rollout: { autoRevert: false },
  };
  return api.ask("/v1/apps/shop", { method: "PUT", json });
};
const post = (api: TestApi, path: string, json?: object) =>
  api.ask(`/v1/apps/shop/${path}`, { method: "POST", ...(json && { json }) });

/** The newest release is built and scheduled; its pods turn out so, and all others are ready. */
async function rollsOut(
  api: TestApi,
  nodes: readonly NodeId[],
  fate: Partial<PodStatus>,
  fateOfFirst = fate,
): Promise<void> {
  const [row] = await api.db.execute<{ id: string; app: string; phase: string }>(
    sql`select id, app_id as app, phase from releases order by number desc limit 1`,
  );
  const [app, release] = [AppId.parse(row?.app), ReleaseId.parse(row?.id)];
  const images = { [`base/tool@${aDigest("c")}`]: `apps/default/shop@${aDigest("c")}` };
  if (row?.phase === "pending")
    await built(api.db, { release } as Declared, aDigest("c"), { images, httpPort: 80 });
  for (let turn = 0; turn < 6; turn++) {
    await scheduleApp(api.db, app);
    const pods = await wantedPods(api.db);
    const first = pods.find((it) => it.releaseId === release);
    const fates = (it: (typeof pods)[number]) => (it === first ? fateOfFirst : fate);
    for (const node of nodes) {
      const sights = pods
        .filter((it) => it.nodeId === node)
        .map((it) => aStatus(it.id, it.releaseId === release ? fates(it) : READY));
      await storeReport(api.db, node, aReport(sights, await generation(api.db, node)));
    }
  }
}

const releasesOf = async (api: TestApi): Promise<readonly number[]> => {
  const { pods } = (await api.ask("/v1/apps/shop")).body;
  return pods.map((it: { release: number }) => it.release).toSorted();
};

test("a failed release says why and is left to be looked into, while the one before serves", async () => {
  await using api = await startApi();
  const nodes = [await joinedNode(api.db)];
  await put(api, "one");
  await rollsOut(api, nodes, READY);

  await put(api, "two");
  await rollsOut(api, nodes, CRASHES);

  const failed = (await api.ask("/v1/apps/shop/releases/2")).body;
  expect(failed).toMatchObject({ phase: "failed", failure: { slug: "app-crashes" } });
  expect(failed.failure.log).toEqual(CRASHES.logTail);
  expect((await api.ask("/v1/apps/shop")).body).toMatchObject({ live: 1, wanted: 1 });
  expect(await releasesOf(api)).toEqual([1, 1, 2]);
  const { pods } = (await api.ask("/v1/apps/shop/explain")).body;
  expect(pods.filter((it: { why: string }) => it.why.includes("autoRevert is false"))).toHaveLength(
    1,
  );
  // Looked at again and again it stays so, and nobody counts it as forgotten.
  await rollsOut(api, nodes, CRASHES);
  expect(await releasesOf(api)).toEqual([1, 1, 2]);
  await api.db.execute(sql`update releases set phase_at = now() - interval '1 hour'`);
  expect((await findUnsettled(api.db)).filter((it) => !it.expected)).toEqual([]);
  // What is being built has nothing to put in its place yet.
  await put(api, "three");
  await scheduleApp(api.db, AppId.parse((await wantedPods(api.db))[0]?.appId));
  expect(await releasesOf(api)).toEqual([1, 1, 2]);
  await rollsOut(api, nodes, READY);
  expect(await releasesOf(api)).toEqual([3, 3]);
});

test("a rollout that fails half-way stays so, and is made up for once its own serve no longer", async () => {
  await using api = await startApi();
  const nodes = [await joinedNode(api.db)];
  await put(api, "one");
  await rollsOut(api, nodes, READY);
  await put(api, "two");

  await rollsOut(api, nodes, CRASHES, READY);
  const halfway = await releasesOf(api);
  const explained = (await api.ask("/v1/apps/shop/explain")).body;
  await rollsOut(api, nodes, CRASHES);

  expect(halfway).toEqual([1, 2, 2]);
  expect(explained).toMatchObject({ release: 1, waiting: [] });
  expect(await releasesOf(api)).toEqual([1, 1, 2, 2]);
  expect((await api.ask("/v1/apps/shop/releases/2")).body.phase).toBe("failed");
});

test.each<[string, object | undefined, number]>([
  ["rollback", { to: 1 }, 2],
  ["scale", { replicas: 3 }, 3],
  ["restart", undefined, 2],
])("a %s ends that as any release does", async (path, body, replicas) => {
  await using api = await startApi();
  const nodes = [await joinedNode(api.db)];
  await put(api, "one");
  await rollsOut(api, nodes, READY);
  await put(api, "two");
  await rollsOut(api, nodes, CRASHES);

  const asked = await post(api, path, body);
  await rollsOut(api, nodes, READY);

  expect(asked.body).toMatchObject({ release: 3, unchanged: false });
  expect(await releasesOf(api)).toEqual(Array.from({ length: replicas }, () => 3));
});

test("the first release of an app has nothing behind it, and a drain takes with it what it left", async () => {
  await using api = await startApi();
  const nodes = [await joinedNode(api.db), await joinedNode(api.db, "other")];

  await put(api, "one", 1);
  await rollsOut(api, nodes, CRASHES);
  const left = (await api.ask("/v1/apps/shop")).body;
  const drained = await api.ask(`/v1/nodes/${left.pods[0].node}/drain`, { method: "POST" });
  await rollsOut(api, nodes, CRASHES);

  expect(left).toMatchObject({ live: null, wanted: null, pods: [{ release: 1, ready: false }] });
  expect(drained.status).toBe(200);
  expect(await releasesOf(api)).toEqual([]);
});
