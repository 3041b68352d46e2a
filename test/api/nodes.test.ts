import { randomUUID } from "node:crypto";
import { eq, sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { type NodeId, PodId } from "../../contract/ids.ts";
import type { PodStatus } from "../../contract/node/protocol.ts";
import { Pod } from "../../contract/pod/pod.ts";
import { nodePlans, pods } from "../../db/schema/core.ts";
import { volumes } from "../../db/schema/material.ts";
import { startApi, type TestApi } from "../support/api.ts";
import { aDigest, aReport, declare, wishedUpTo } from "../support/declared.ts";
import { joined } from "../support/joined.ts";
import { storePod } from "../support/pod-rows.ts";

/** A node that has reported, and how it reports again. */
async function aNode(api: TestApi, name = "web-1") {
  const node = await joined(api, name);
  const report = (statuses: readonly PodStatus[] = []) =>
    api.ask("/v1/node/report", { method: "POST", token: node.token, json: aReport(statuses, 1) });
  await wishedUpTo(api.db, 1);
  await report();
  return { ...node, report };
}

/** A pod of the app there, as the scheduler would place it. */
async function placed(api: TestApi, node: NodeId, app = "shop"): Promise<PodId> {
  const release = await declare(api.db, app, aDigest("a"));
  const id = PodId.parse(randomUUID());
  const spec = Pod.parse({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: `${app}-1-x`, uid: id },
    spec: {
      containers: [
        {
          name: "app",
          image: `waybill.internal/apps/default/${app}@${aDigest("c")}`,
          resources: { requests: { cpu: "1500m", memory: "1Gi" }, limits: { memory: "1Gi" } },
        },
      ],
    },
  });
  await storePod(api.db, { ...release, node, spec });
  await api.db.update(nodePlans).set({ generation: 1 }).where(eq(nodePlans.nodeId, node));
  return id;
}

const running = (pod: PodId): PodStatus => ({
  pod,
  phase: "Running",
  ready: true,
  restarts: 0,
  containers: [],
  logTail: [],
});

const ask = (api: TestApi, what: string, json?: object) =>
  api.ask(`/v1/nodes/web-1${what}`, { method: "POST", ...(json && { json }) });

const shown = async (api: TestApi) => (await api.ask("/v1/nodes/web-1")).body;

const silence = (api: TestApi) =>
  api.db.execute(sql`update node_status set seen_at = now() - interval '50 seconds'`);

const gone = (api: TestApi, id: PodId) =>
  api.db.update(pods).set({ wanted: "gone", goneAt: sql`now()` }).where(eq(pods.id, id));

const audited = async (api: TestApi) =>
  (
    await api.db.execute<{ it: string }>(sql`
      select action || ' ' || object || ' ' || result as it from audit
      where action like 'node.%' and action not in ('node.join') order by seq`)
  ).map((row) => row.it);

test("a node says in one word how it fares, and what room it has left", async () => {
  await using api = await startApi();
  await joined(api, "web-1");
  expect((await shown(api)).status).toBe("never-seen");

  const node = await joined(api, "web-1");
  await placed(api, node.node);
  await api.ask("/v1/node/report", { method: "POST", token: node.token, json: aReport([]) });

  expect(await shown(api)).toMatchObject({
    name: "web-1",
    status: "ready",
    ready: true,
    pods: 1,
    capacity: { cpuMillis: 8_000, memoryBytes: 16 * 1024 ** 3, pods: 100 },
    free: { cpuMillis: 6_500, memoryBytes: 15 * 1024 ** 3, pods: 99 },
    running: [{ project: "default", app: "shop", name: "shop-1-x", wanted: true, phase: null }],
    drain: null,
  });
  await silence(api);
  expect(await shown(api)).toMatchObject({ status: "unreachable", ready: false });
  expect((await api.ask("/v1/nodes/nope")).status).toBe(404);
});

test("nodes are listed page by page", async () => {
  await using api = await startApi();
  for (const name of ["c", "a", "b"]) await joined(api, name);

  const first = (await api.ask("/v1/nodes?limit=2")).body;
  const second = (await api.ask(`/v1/nodes?limit=2&cursor=${first.next}`)).body;

  expect(first.nodes.map((it: { name: string }) => it.name)).toEqual(["a", "b"]);
  expect(second).toMatchObject({ nodes: [{ name: "c" }], next: null });
});

test("a node is cordoned and drained until it is uncordoned, and each is on record once", async () => {
  await using api = await startApi();
  await aNode(api);

  expect((await ask(api, "/cordon")).body).toMatchObject({ status: "cordoned", cordoned: true });
  await ask(api, "/cordon");
  expect((await ask(api, "/drain")).body).toMatchObject({ status: "draining", cordoned: true });
  expect((await ask(api, "/cordon")).body.status).toBe("draining");
  expect((await ask(api, "/uncordon")).body).toMatchObject({ status: "ready", draining: false });

  expect(await audited(api)).toEqual(
    ["node.cordon", "node.drain", "node.uncordon"].map((it) => `${it} node:web-1 done`),
  );
});

test("whoever waits for a drain is told what is left, and when nothing is", async () => {
  await using api = await startApi();
  const node = await aNode(api);
  const pod = await placed(api, node.node);
  await node.report([running(pod)]);

  const late = await ask(api, "/drain?wait=drained&timeout=1");
  expect(late.status).toBe(504);
  expect(late.body.detail).toContain("1 pod is left: shop-1-x");
  expect(late.body.left).toBe(1);

  const waiting = api.ask("/v1/nodes/web-1/drain?wait=drained", {
    method: "POST",
    headers: { accept: "application/x-ndjson" },
  });
  await gone(api, pod);
  await node.report([]);
  const lines = (await waiting).text
    .trimEnd()
    .split("\n")
    .map((it) => JSON.parse(it));

  expect(lines.at(-1)).toMatchObject({ type: "verdict", node: "web-1", done: true, status: 200 });
  expect((await shown(api)).drain).toMatchObject({
    left: 0,
    done: true,
    message: "no pod is left",
  });
  await ask(api, "/uncordon");
});

test("a node that answers is fenced only by force; its agent is shut out until it joins anew", async () => {
  await using api = await startApi();
  const node = await aNode(api);

  const refused = await ask(api, "/fence");
  expect(refused.body.type).toBe("/problems/node-reachable");
  expect((await node.report()).status).toBe(204);

  await silence(api);
  expect((await ask(api, "/fence")).body).toMatchObject({ status: "fenced", ready: false });
  expect((await node.report()).status).toBe(401);
  expect((await ask(api, "/fence")).status).toBe(200);

  const again = await aNode(api);
  expect(again.node).toBe(node.node);
  expect((await shown(api)).status).toBe("ready");
  expect((await ask(api, "/fence", { force: true })).body.status).toBe("fenced");
  expect(await audited(api)).toEqual(Array(2).fill("node.fence node:web-1 done"));
});

test("an agent that waits for its wish hears that it was fenced, and no join token of before brings it back", async () => {
  await using api = await startApi();
  const made = await api.ask("/v1/nodes/join-tokens", { method: "POST", json: { name: "web-1" } });
  const join = () =>
    api.ask("/v1/node/join", {
      method: "POST",
      token: made.body.token,
      json: { version: "1", publicKey: Buffer.alloc(32, 1).toString("base64") },
    });
  const { token } = (await join()).body;
  const waiting = api.ask("/v1/node/desired?waitMs=20000", {
    token,
    headers: { "if-none-match": '"0"' },
  });
  const asked = await api.ask("/v1/node/desired", { token });

  await ask(api, "/fence");

  expect(asked.status).toBe(200);
  expect((await waiting).status).toBe(401);
  expect((await join()).status).toBe(401);
});

test("what a fenced node held is given up only when that is said", async () => {
  await using api = await startApi();
  const node = await aNode(api);
  const held = { projectId: api.project, nodeId: node.node };
  await api.db.insert(volumes).values([
    { ...held, name: "data" },
    { ...held, name: "old", removedAt: new Date(), purgeAskedAt: new Date() },
  ]);
  await silence(api);

  await ask(api, "/fence");
  expect((await api.ask("/v1/volumes/data")).body).toMatchObject({ node: "web-1" });

  await ask(api, "/fence", { abandonVolumes: true });
  expect((await api.ask("/v1/volumes/data")).body).toMatchObject({ node: null, state: "unbound" });
  expect((await api.ask("/v1/volumes/old")).status).toBe(404);
  const lost = await api.db.execute(
    sql`select object from audit where action = 'volume.abandon' order by object`,
  );
  expect([...lost]).toEqual([{ object: "volume:data" }, { object: "volume:old" }]);
});

test("a node is forgotten when nothing is wanted of it, nothing runs there and it holds nothing", async () => {
  await using api = await startApi();
  const node = await aNode(api);
  const pod = await placed(api, node.node);
  await node.report([running(pod)]);
  await api.db.insert(volumes).values({ projectId: api.project, name: "data", nodeId: node.node });
  const remove = () => api.ask("/v1/nodes/web-1", { method: "DELETE" });

  const wanted = await remove();
  expect(wanted.body.type).toBe("/problems/node-in-use");
  expect(wanted.body.detail).toContain("web-1 should still run shop-1-x");
  await gone(api, pod);
  expect((await remove()).body.detail).toContain("is still ending shop-1-x");
  await node.report([]);
  expect((await remove()).body.detail).toContain("holds the bytes of data");
  await api.db.execute(sql`delete from volumes`);

  expect((await remove()).body).toEqual({ node: "web-1", deleted: true });
  expect((await remove()).status).toBe(404);
  expect((await node.report()).status).toBe(401);
  expect((await api.ask("/v1/nodes")).body.nodes).toEqual([]);
});

test("the same wish with the same Idempotency-Key is done once", async () => {
  await using api = await startApi();
  await aNode(api);
  const headers = { "idempotency-key": randomUUID() };
  const drain = () => api.ask("/v1/nodes/web-1/drain", { method: "POST", headers });

  const first = await drain();
  await ask(api, "/uncordon");
  const again = await drain();

  expect(again.text).toBe(first.text);
  expect(again.headers.get("idempotency-replayed")).toBe("true");
  expect((await shown(api)).status).toBe("ready");
});
