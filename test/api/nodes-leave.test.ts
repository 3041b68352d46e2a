import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { remove as removeNode } from "../../api/nodes/wishes.ts";
import { AppId, type NodeId } from "../../contract/ids.ts";
import { storeReport } from "../../db/nodes/sight.ts";
import { scheduleApp } from "../../worker/schedule/run.ts";
import { anotherCaller } from "../support/another-caller.ts";
import { aToken, startApi, type TestApi } from "../support/api.ts";
import { aReport, built, declare, joinedNode } from "../support/declared.ts";
import { goesLive } from "../support/goes-live.ts";
import { aPodDocument, apply, claiming } from "../support/materials.ts";
import { generation, wantedPods } from "../worker/schedule/scheduled.ts";
import { aStatus } from "../worker/schedule/world.ts";

const NODE = "web-1";
const post = (api: TestApi, what: string, json?: object) =>
  api.ask(`/v1/nodes/${NODE}${what}`, { method: "POST", ...(json && { json }) });
const remove = (api: TestApi) => api.ask(`/v1/nodes/${NODE}`, { method: "DELETE" });
const shown = async (api: TestApi) => (await api.ask(`/v1/nodes/${NODE}`)).body;

const appId = async (api: TestApi) =>
  AppId.parse((await api.db.execute<{ id: string }>(sql`select id from apps`))[0]?.id);

/** The node says this of every pod that it should run, and the scheduler looks. */
async function says(api: TestApi, node: NodeId, phase: "Running" | "Succeeded" | "Failed") {
  const there = (await wantedPods(api.db)).filter((it) => it.nodeId === node);
  const pods = there.map((it) => aStatus(it.id, { phase, ready: phase === "Running" }));
  await storeReport(api.db, node, aReport(pods, await generation(api.db, node)));
  await scheduleApp(api.db, await appId(api));
}

const silence = (api: TestApi) =>
  api.db.execute(sql`update node_status set seen_at = now() - interval '50 seconds'`);

/** As the installation makes one for its own node, again and again. */
const byItself = (api: TestApi) =>
  aToken(api.db, {
    kind: "join",
    project: api.project,
    node: NODE,
    createdBy: "installation",
  });

const byAPerson = async (api: TestApi) =>
  (await api.ask("/v1/nodes/join-tokens", { method: "POST", json: { name: NODE } })).body
    .token as string;

const join = (api: TestApi, token: string) =>
  api.ask("/v1/node/join", {
    method: "POST",
    token,
    json: { version: "1", publicKey: Buffer.alloc(32, 1).toString("base64") },
  });

test.each(["Succeeded", "Failed"] as const)(
  "a job that %s holds neither a drain nor its node, and is not done again elsewhere",
  async (phase) => {
    await using api = await startApi();
    const node = await joinedNode(api.db, NODE);
    await apply(api, [aPodDocument("job", {}, { restartPolicy: "Never" })]);
    await goesLive(api, node);
    const [pod] = await wantedPods(api.db);
    await says(api, node, phase);
    const other = await joinedNode(api.db, "web-2");

    const left = await shown(api);
    const drained = await post(api, "/drain?wait=drained&timeout=5");
    const removed = await remove(api);
    await scheduleApp(api.db, await appId(api));

    expect(left).toMatchObject({ pods: 0, free: left.capacity });
    expect(drained.body.drain).toMatchObject({ left: 0, done: true });
    expect(removed.body).toEqual({ node: NODE, deleted: true });
    expect((await wantedPods(api.db)).map((it) => it.id)).toEqual([pod?.id]);
    const job = (await api.ask("/v1/apps/job")).body;
    expect(job.pods).toMatchObject([{ name: pod?.spec.metadata.name, node: null, phase }]);
    const explained = (await api.ask("/v1/apps/job/explain")).body;
    expect(explained.pods).toMatchObject([{ why: "its node was removed" }]);

    await api.ask("/v1/apps/job/restart", { method: "POST" });
    await goesLive(api, other);
    await says(api, other, "Succeeded");
    expect((await wantedPods(api.db)).map((it) => it.nodeId)).toEqual([other]);
    await api.ask("/v1/apps/job", { method: "DELETE" });
    await scheduleApp(api.db, await appId(api));
    const kept = await api.db.execute(sql`select id from pods where node_id = ${node}`);
    expect([...kept]).toEqual([]);
  },
);

test.each([
  ["its volume is there", claiming("data"), /the volume "data" is on web-1/],
  ["no other node has room", {}, /web-2: short by 1G memory/],
])(
  "a pod that cannot move keeps a drain from ending, and is told why: %s",
  async (_, more, why) => {
    await using api = await startApi();
    const node = await joinedNode(api.db, NODE);
    const resources = { requests: { cpu: "100m", memory: "2G" }, limits: { memory: "2G" } };
    await apply(api, [aPodDocument("shop", { resources }, more)]);
    await goesLive(api, node);
    const other = await joinedNode(api.db, "web-2");
    const capacity = { cpuMillis: 4_000, memoryBytes: 1e9, pods: 20 };
    await storeReport(api.db, other, { ...aReport([]), capacity });
    await post(api, "/drain");
    await says(api, node, "Running");

    const waited = await post(api, "/drain?wait=drained&timeout=1");

    const { drain } = await shown(api);
    const pod = expect.stringMatching(/^shop-1-/);
    const waiting = [{ pod, why: expect.stringMatching(why) }];
    expect(drain).toMatchObject({ left: 1, done: false, waiting });
    expect(waited.status).toBe(504);
    expect(waited.body.detail).toMatch(why);
  },
);

test("what a silent node may still run keeps it from being forgotten, until a person says that it is off", async () => {
  await using api = await startApi();
  const node = await joinedNode(api.db, NODE);
  await apply(api, [aPodDocument("db", {}, claiming("data"))]);
  await goesLive(api, node);
  await api.ask("/v1/apps/db", { method: "DELETE" });
  await scheduleApp(api.db, await appId(api));
  await api.db.execute(sql`update volumes set node_id = null`);
  await silence(api);

  const refused = await remove(api);
  await api.db.execute(sql`delete from pod_status`);
  const unseen = await remove(api);
  await post(api, "/fence");
  const removed = await remove(api);

  expect(refused.status).toBe(409);
  expect(refused.body.detail).toMatch(/^web-1 is silent, and may still run db-1-\w+; fence it/);
  expect(unseen.body.detail).toBe(refused.body.detail);
  expect(removed.body).toEqual({ node: NODE, deleted: true });
});

test.each([
  ["was heard a moment ago", sql`now()`],
  ["has to claim its node again", sql`now() - interval '1 minute'`],
])(
  "an agent that reports while its node is forgotten hears that it has to join anew: it %s",
  async (_, seenAt) => {
    await using api = await startApi();
    const { token } = (await join(api, await byAPerson(api))).body;
    const report = () => api.ask("/v1/node/report", { method: "POST", token, json: aReport([]) });
    expect((await report()).status).toBe(204);
    await api.db.execute(sql`update node_sessions set seen_at = ${seenAt}`);
    const { hold, untilSomebodyWaits } = anotherCaller(api.db);
    const removed = await hold((tx) => removeNode(tx, NODE));

    const [answer] = await Promise.all([report(), untilSomebodyWaits().finally(removed)]);

    expect(answer.status, answer.text).toBe(401);
    expect(answer.body.type).toBe("/problems/token-invalid");
    expect((await api.ask("/v1/nodes")).body.nodes).toEqual([]);
  },
);

test("while a node is being forgotten nothing is placed there, and neither fails for the other", async () => {
  await using api = await startApi();
  const ends = [];
  for (let turn = 0; turn < 12; turn++) {
    const node = await joinedNode(api.db, NODE);
    const declared = await declare(api.db, `app-${turn}`);
    await built(api.db, declared);

    const [removed] = await Promise.all([remove(api), scheduleApp(api.db, declared.app)]);

    const there = await wantedPods(api.db);
    ends.push(`${removed.status} with ${there.length}`);
    await api.db.execute(sql`delete from pods`);
    await api.db.execute(sql`delete from nodes where id = ${node}`);
  }

  expect(new Set([...ends, "200 with 0", "409 with 1"])).toEqual(
    new Set(["200 with 0", "409 with 1"]),
  );
});

test("a fence holds against the tokens that an installation makes for its own node by itself", async () => {
  await using api = await startApi();
  await join(api, await byItself(api));
  await post(api, "/fence", { force: true });

  const first = await join(api, await byItself(api));
  const again = await join(api, await byItself(api));

  expect(first.body.type).toBe("/problems/node-fenced");
  expect(first.body.detail).toContain("POST /v1/nodes/web-1/uncordon");
  expect(again.status).toBe(409);
  expect((await shown(api)).status).toBe("fenced");
  expect((await post(api, "/cordon")).body.status).toBe("fenced");
  const ready = await api.ask("/readyz");
  expect(ready.body.missing.join()).toContain("1 node is fenced");
});

test.each(["uncordon", "a token"] as const)("a person's %s ends a fence", async (word) => {
  await using api = await startApi();
  await join(api, await byItself(api));
  await post(api, "/fence", { force: true });

  if (word === "uncordon") await post(api, "/uncordon");
  const joined = await join(api, await (word === "uncordon" ? byItself(api) : byAPerson(api)));

  expect(joined.status).toBe(201);
  expect((await shown(api)).fencedAt).toBeNull();
});
