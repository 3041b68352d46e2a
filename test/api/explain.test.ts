import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import type { NodeId } from "../../contract/ids.ts";
import { storeReport } from "../../db/nodes/sight.ts";
import { startApi, type TestApi } from "../support/api.ts";
import { aReport, joinedNode } from "../support/declared.ts";
import { goesLive } from "../support/goes-live.ts";
import { aPodDocument, apply, claiming } from "../support/materials.ts";
import { wantedPods } from "../worker/schedule/scheduled.ts";

const GB = 1e9;
const asking = (memory: string) => ({
  resources: { requests: { cpu: "100m", memory }, limits: { memory } },
});
/** 1G for the app, and half of one for what collects its log beside it. */
const withLogCollector = (name: string) => {
  const pod = aPodDocument(name, asking("1G"));
  const collector = { ...pod.spec.containers[0], name: "collector", ...asking("500M") };
  return { ...pod, spec: { containers: [...pod.spec.containers, collector] } };
};

const roomFor = (memoryBytes: number) => ({ cpuMillis: 4_000, memoryBytes, pods: 20 });

async function aNode(api: TestApi, name: string, memoryBytes: number): Promise<NodeId> {
  const id = await joinedNode(api.db, name);
  await storeReport(api.db, id, { ...aReport([]), capacity: roomFor(memoryBytes) });
  return id;
}

const explain = async (api: TestApi, app: string) =>
  (await api.ask(`/v1/apps/${app}/explain`)).body;
const planned = async (api: TestApi, document: object) =>
  (await apply(api, [document], { query: "?dryRun=true" })).body.applied[0].plan;

test("a pod goes whole to where it fits; the one for which no room is left waits, with numbers", async () => {
  await using api = await startApi();
  await aNode(api, "node-a", 1.25 * GB);
  const b = await aNode(api, "node-b", 2 * GB);

  const before = await planned(api, withLogCollector("one"));
  await apply(api, [withLogCollector("one")]);
  const unbuilt = await explain(api, "one");
  await goesLive(api, b, "c", roomFor(2 * GB));
  const full = await planned(api, withLogCollector("two"));
  await apply(api, [withLogCollector("two")]);
  await goesLive(api, b, "c", roomFor(2 * GB));

  const why = "the only node that can take it; node-a: short by 0.25G memory";
  expect(before).toEqual({
    strategy: "rolling: old pods leave once new ones are ready",
    pods: [{ pod: null, node: "node-b", why }],
    waiting: [],
  });
  expect(unbuilt.waiting).toEqual([{ pods: 1, why: "release 1 is not built yet", nodes: [] }]);
  const [pod] = await wantedPods(api.db);
  expect(await explain(api, "one")).toEqual({
    ...{ app: "one", release: 1, strategy: before.strategy, waiting: [] },
    unreached: [
      { node: "node-b", why: "it tells no address: only its own ingress has routes to its pods" },
    ],
    pods: [{ pod: pod?.spec.metadata.name, node: "node-b", why }],
  });
  const waiting = [
    {
      pods: 1,
      why: "no node can take the pod",
      nodes: ["node-a: short by 0.25G memory", "node-b: short by 1G memory"],
    },
  ];
  expect(full).toMatchObject({ pods: [], waiting });
  expect(await explain(api, "two")).toMatchObject({ release: 1, pods: [], waiting });
});

test("replicas spread, then go where it is fullest; what is told of each is why", async () => {
  await using api = await startApi();
  const a = await aNode(api, "node-a", 4 * GB);
  await aNode(api, "node-b", 8 * GB);
  const first = await planned(api, aPodDocument("shop", asking("1G")));

  expect(first.pods).toEqual([
    { pod: null, node: "node-a", why: "of 2 nodes that can take it the first of equals by name" },
  ]);
  await apply(api, [aPodDocument("shop", asking("1G"))]);
  await goesLive(api, a, "c", roomFor(4 * GB));
  const plan = async (spec: object) =>
    (await api.ask("/v1/apps/shop?dryRun=true", { method: "PUT", json: spec })).body.plan;
  const { spec } = (await api.ask("/v1/apps/shop")).body;
  const [pod] = await wantedPods(api.db);
  const name = pod?.spec.metadata.name;

  const more = await plan({ ...spec, replicas: 3 });
  const other = await plan({ ...spec, http: { port: 81 } });
  await api.db.execute(sql`update nodes set cordoned = true where name = 'node-a'`);
  const cordoned = await explain(api, "shop");

  expect(more.pods).toEqual([
    { pod: name, node: "node-a", why: "of 2 nodes that can take it the first of equals by name" },
    {
      pod: null,
      node: "node-b",
      why: "of 2 nodes that can take it the one with the fewest pods of the app",
    },
    {
      pod: null,
      node: "node-a",
      why: "of 2 nodes that can take it the fullest (25 % of its memory)",
    },
  ]);
  expect(other.pods).toMatchObject([{ pod: null, node: "node-a" }]);
  expect(cordoned.pods).toEqual([
    {
      pod: name,
      node: "node-a",
      why: "it runs on there, and would not be placed there now: node-a: cordoned",
    },
  ]);
});

test("before an app is recreated the plan says so, and who has its volume", async () => {
  await using api = await startApi();
  const a = await aNode(api, "node-a", 4 * GB);
  await aNode(api, "node-b", 4 * GB);
  const document = aPodDocument("db", asking("3G"), claiming("data"));

  const before = await planned(api, document);
  await apply(api, [document]);
  await goesLive(api, a, "c", roomFor(4 * GB));
  const next = await planned(api, { ...document, spec: { ...document.spec, hostname: "other" } });

  const strategy =
    'recreate, since its pods write to the volume "data": its old pods end before new ones start, and nothing serves in between';
  expect(before).toMatchObject({ strategy, pods: [{ node: "node-a" }], waiting: [] });
  expect(next).toEqual({
    strategy,
    pods: [
      {
        pod: null,
        node: "node-a",
        why: 'the only node that can take it; node-b: the volume "data" is on node-a',
      },
    ],
    waiting: [],
  });
});

test("whose pods other hosts do not reach is said, and why: no address, or one that is not taken", async () => {
  await using api = await startApi();
  const a = await aNode(api, "node-a", 4 * GB);
  const shop = aPodDocument("shop", { ...asking("1G"), ports: [{ containerPort: 80 }] });
  await apply(api, [shop]);
  await goesLive(api, a, "c", roomFor(4 * GB));
  const unreached = async () => (await explain(api, "shop")).unreached;
  const tell = (address: string) => storeReport(api.db, a, { ...aReport([], 1), address });

  const alone = await unreached();
  await joinedNode(api.db, "node-b");
  const none = await unreached();
  await tell("127.0.0.1");
  const refused = await unreached();
  await tell("192.0.2.7");

  const why = "only its own ingress has routes to its pods";
  expect(alone).toEqual([]);
  expect(none).toEqual([{ node: "node-a", why: `it tells no address: ${why}` }]);
  expect(refused).toEqual([{ node: "node-a", why: `its address 127.0.0.1 is not taken: ${why}` }]);
  expect(await unreached()).toEqual([]);
});

test("of many nodes some are told, and how many more there are", async () => {
  await using api = await startApi();
  await api.db.execute(
    sql`insert into nodes (name) select 'n-' || i from generate_series(1, 250) i`,
  );
  await api.db.execute(sql`insert into node_plans (node_id) select id from nodes`);

  const { waiting } = await planned(api, aPodDocument("shop"));

  expect(waiting[0].nodes).toHaveLength(101);
  expect(waiting[0].nodes.at(-1)).toBe("and 150 more nodes");
});

test("without a node, and for another project, there is nothing to tell but that", async () => {
  await using api = await startApi();

  const plan = await planned(api, aPodDocument("shop"));
  await apply(api, [aPodDocument("shop")]);

  expect(plan.waiting).toEqual([
    { pods: 1, why: "no node can take the pod: none has joined yet", nodes: [] },
  ]);
  expect((await api.ask("/v1/apps/nope/explain")).status).toBe(404);
});

test("a spec that the rules of today refuse is told as it is, with what is against it, wherever it is read", async () => {
  await using api = await startApi();
  const a = await aNode(api, "node-a", 4 * GB);
  await apply(api, [aPodDocument("shop", asking("1G"))]);
  await goesLive(api, a, "c", roomFor(4 * GB));
  for (const table of ["apps", "releases"]) {
    // It has a field that is no more, and lacks those that came since.
    await api.db.execute(sql`update ${sql.identifier(table)}
      set spec = (spec - 'rollout' - 'placement') #- '{pod,spec,nodeSelector}' || '{"old": 1, "replicas": 2}'`);
  }
  const post = (path: string, json: object) =>
    api.ask(`/v1/apps/shop/${path}`, { method: "POST", json });

  const explained = await explain(api, "shop");
  const anew = await apply(api, [aPodDocument("shop", asking("2G"))], { query: "?dryRun=true" });
  const differs = await api.ask("/v1/apps/shop/releases/1/diff/1");
  const asked = [await post("rollback", { to: 1 }), await post("scale", { replicas: 3 })];
  asked.push(await api.ask("/v1/apps/shop/restart", { method: "POST" }));

  const refused = expect.stringMatching(/refused today: \/old .+; declare it anew$/);
  expect(explained).toMatchObject({ strategy: refused, pods: [{ node: "node-a" }] });
  expect(explained.waiting).toEqual([{ pods: 1, why: refused, nodes: [] }]);
  for (const path of ["", "/releases/1", "/releases", "/events"])
    expect((await api.ask(`/v1/apps/shop${path}`)).status, path).toBe(200);
  expect(differs.body.changes).toEqual([]);
  expect(anew.status).toBe(200);
  for (const answer of asked) {
    expect(answer.status).toBe(422);
    expect(answer.body.detail).toMatch(/refused by the rules of today.+ PUT a spec/);
    expect(answer.body.errors).toMatchObject([{ pointer: "/old" }]);
  }
  expect((await apply(api, [aPodDocument("shop", asking("2G"))])).status).toBe(200);
});
