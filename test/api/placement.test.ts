import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import type { NodeId } from "../../contract/ids.ts";
import { storeReport } from "../../db/nodes/sight.ts";
import { scheduleApp } from "../../worker/schedule/run.ts";
import { startApi, type TestApi } from "../support/api.ts";
import { aDigest, aReport, built, joinedNode } from "../support/declared.ts";
import { aPodDocument } from "../support/materials.ts";
import { generation, wantedPods } from "../worker/schedule/scheduled.ts";
import { aStatus } from "../worker/schedule/world.ts";

/* What `placement` asks, through the door that people use, and what becomes of pods that run already. */

const asking = {
  resources: { requests: { cpu: "100m", memory: "1G" }, limits: { memory: "1G" } },
};
const POD = aPodDocument("shop", asking);

/** node-a and node-b in zone a, node-c in zone b, and node-d in none. */
async function aFleet(api: TestApi): Promise<readonly NodeId[]> {
  const labels = { a: { zone: "a" }, b: { zone: "a", disk: "fast" }, c: { zone: "b" }, d: {} };
  const ids: NodeId[] = [];
  for (const [name, of] of Object.entries(labels)) {
    ids.push(await joinedNode(api.db, `node-${name}`));
    const json = JSON.stringify(of);
    await api.db.execute(sql`update nodes set labels = ${json}::jsonb where id = ${ids.at(-1)}`);
  }
  return ids;
}

const put = async (api: TestApi, spec: object, query = "") =>
  await api.ask(`/v1/apps/shop${query}`, { method: "PUT", json: { pod: POD, ...spec } });

/** The newest release is built and scheduled, and whatever comes is ready, until nothing changes. */
async function settle(api: TestApi, nodes: readonly NodeId[]): Promise<void> {
  const [row] = await api.db.execute<Parameters<typeof built>[1] & { phase: string }>(
    sql`select id as release, app_id as app, phase from releases order by number desc limit 1`,
  );
  if (!row) throw new Error("nothing was declared");
  const images = { [`base/tool@${aDigest("c")}`]: `apps/default/shop@${aDigest("c")}` };
  if (row.phase === "pending") await built(api.db, row, aDigest("c"), { images, httpPort: null });
  for (let turn = 0; turn < 6; turn++) {
    await scheduleApp(api.db, row.app);
    const pods = await wantedPods(api.db);
    for (const node of nodes) {
      const there = pods.filter((it) => it.nodeId === node);
      const ready = there.map((it) => aStatus(it.id, { ready: true }));
      await storeReport(api.db, node, aReport(ready, await generation(api.db, node)));
    }
    // Nobody asks these pods, so that it takes time until they prove anything.
    await api.db.execute(sql`update pod_status set since = now() - interval '1 minute'`);
  }
}

const podsOf = async (api: TestApi): Promise<{ name: string; node: string }[]> => {
  const { pods } = (await api.ask("/v1/apps/shop")).body;
  return pods.map(({ name, node }: { name: string; node: string }) => ({ name, node }));
};
const nodesOf = async (api: TestApi) => (await podsOf(api)).map((it) => it.node).toSorted();

test("pods spread over zones, and to spread them otherwise moves none that runs", async () => {
  await using api = await startApi();
  const nodes = await aFleet(api);
  const { plan } = (
    await put(api, { replicas: 3, placement: { spreadBy: "zone" } }, "?dryRun=true")
  ).body;

  await put(api, { replicas: 3, placement: { spreadBy: "zone" } });
  await settle(api, nodes);
  const spread = await podsOf(api);
  const explained = (await api.ask("/v1/apps/shop/explain")).body.pods;
  const again = await put(api, { replicas: 3, placement: { spreadBy: "disk" } }, "?dryRun=true");
  await put(api, { replicas: 3 });
  await settle(api, nodes);
  const still = await podsOf(api);
  const fewer = { replicas: 2, placement: { spreadBy: "zone" } };
  const two = (await put(api, fewer, "?dryRun=true")).body.plan.pods;
  await put(api, fewer);
  await settle(api, nodes);

  const ofZone = (zone: string, pods: number) =>
    `one with zone=${zone}, which has the fewest pods of the app (${pods})`;
  expect(plan.pods).toEqual([
    {
      ...{ pod: null, node: "node-a" },
      why: `of 4 nodes that can take it ${ofZone("a", 0)}; of 3 such nodes the first of equals by name`,
    },
    { pod: null, node: "node-c", why: `of 4 nodes that can take it the ${ofZone("b", 0)}` },
    {
      ...{ pod: null, node: "node-b" },
      why: `of 4 nodes that can take it ${ofZone("a", 1)}; of 3 such nodes the one with the fewest pods of the app`,
    },
  ]);
  expect(spread.map((it) => it.node).toSorted()).toEqual(["node-a", "node-b", "node-c"]);
  expect(explained).toHaveLength(3);
  for (const { node, why } of explained)
    if (node === "node-c") expect(why).toBe(`of 4 nodes that can take it the ${ofZone("b", 0)}`);
  expect(again.body.plan.pods.map((it: { pod: string }) => it.pod).toSorted()).toEqual(
    spread.map((it) => it.name).toSorted(),
  );
  expect((await api.ask("/v1/apps/shop")).body).toMatchObject({ live: 3, wanted: 3 });
  expect(still).toHaveLength(3);
  expect(still).toEqual(expect.arrayContaining(spread));
  expect(await nodesOf(api)).toContain("node-c");
  expect((await podsOf(api)).map((it) => it.name)).toEqual(
    expect.arrayContaining(two.map((it: { pod: string }) => it.pod)),
  );
});

test("labels that nodes have to have move the pods that stand elsewhere, and only those", async () => {
  await using api = await startApi();
  const nodes = await aFleet(api);
  await put(api, { replicas: 4 });
  await settle(api, nodes);
  const before = await podsOf(api);
  const placement = { nodeSelector: { zone: "a" } };

  const { plan } = (await put(api, { replicas: 4, placement }, "?dryRun=true")).body;
  await put(api, { replicas: 4, placement });
  await settle(api, nodes);
  const after = await podsOf(api);
  await put(api, { replicas: 4, placement: { nodeSelector: { zone: "x" } } });
  await settle(api, nodes);

  expect(before.map((it) => it.node).toSorted()).toEqual(["node-a", "node-b", "node-c", "node-d"]);
  const stayed = before.filter((it) => ["node-a", "node-b"].includes(it.node));
  expect(
    plan.pods
      .slice(0, 2)
      .map((it: { pod: string }) => it.pod)
      .toSorted(),
  ).toEqual(stayed.map((it) => it.name).toSorted());
  expect(plan.pods.slice(2)).toMatchObject([
    { pod: null, node: "node-a" },
    { pod: null, node: "node-b" },
  ]);
  expect(plan.pods[2].why).toContain(
    "node-c: has the label zone=b, not a; node-d: has no label zone=a",
  );
  expect(after.map((it) => it.node).toSorted()).toEqual(["node-a", "node-a", "node-b", "node-b"]);
  expect(after).toEqual(expect.arrayContaining(stayed));
  expect(await nodesOf(api)).toEqual(after.map((it) => it.node).toSorted());
  const { waiting } = (await api.ask("/v1/apps/shop/explain")).body;
  expect(waiting).toMatchObject([{ pods: 4, why: "no node can take the pod" }]);
  expect(waiting[0].nodes).toContain("node-d: has no label zone=x");
});

test("a pod's own selector and its app's hold together, and the Pod that a node is told has its own alone", async () => {
  await using api = await startApi();
  const nodes = await aFleet(api);
  const pod = { ...POD, spec: { ...POD.spec, nodeSelector: { zone: "a" } } };
  const fast = { nodeSelector: { disk: "fast" } };

  const refused = await put(api, { pod, placement: { nodeSelector: { zone: "b" } } });
  await put(api, { pod, replicas: 2, placement: fast });
  await settle(api, nodes);

  expect(refused.status).toBe(422);
  expect(refused.body.errors).toMatchObject([{ pointer: "/placement/nodeSelector/zone" }]);
  expect(await nodesOf(api)).toEqual(["node-b", "node-b"]);
  const [first] = await wantedPods(api.db);
  expect(first?.spec.spec.nodeSelector).toEqual({ zone: "a" });
});
