import { randomUUID } from "node:crypto";
import { expect, test } from "vitest";
import { type NodeId, PodId } from "../../contract/ids.ts";
import { storeReport } from "../../db/nodes/sight.ts";
import { scheduleApp } from "../../worker/schedule/run.ts";
import { startApi, type TestApi } from "../support/api.ts";
import { aDigest, aReport, built, declare, joinedNode, wishedUpTo } from "../support/declared.ts";
import { wantedPods } from "../worker/schedule/scheduled.ts";
import { aStatus } from "../worker/schedule/world.ts";

/* Nodes that have, or may have, pods that the database does not know. */

const NODE = "web-1";
const post = (api: TestApi, what: string, json?: object) =>
  api.ask(`/v1/nodes/${NODE}${what}`, { method: "POST", ...(json && { json }) });
const remove = (api: TestApi) => api.ask(`/v1/nodes/${NODE}`, { method: "DELETE" });
const shown = async (api: TestApi) => (await api.ask(`/v1/nodes/${NODE}`)).body;

const stranger = { ...aStatus(PodId.parse(randomUUID()), { ready: true }), name: "old-1-a" };

/** The node says that this runs there, with a wish of this generation in hand. */
const says = (api: TestApi, node: NodeId, pods: readonly (typeof stranger)[], generation = 0) =>
  storeReport(api.db, node, aReport(pods, generation));

async function aSingleton(api: TestApi) {
  const one = await declare(api.db, "one", aDigest("a"), { singleton: true });
  await built(api.db, one);
  return one;
}

test("a node that may run what nobody here knows is not forgotten, unless a person says that it is off", async () => {
  await using api = await startApi();
  const node = await joinedNode(api.db, NODE);
  const otherLife = 7;
  await says(api, node, [], otherLife);

  const ahead = await remove(api);
  await says(api, node, [stranger], 0);
  const strange = await remove(api);
  await post(api, "/fence", { force: true });
  const fenced = await remove(api);

  const mayRun = "web-1 may run pods that this database does not know:";
  expect([ahead.status, ahead.body.detail]).toEqual([
    409,
    `${mayRun} adopt it, or fence it if it is off.`,
  ]);
  expect([strange.status, strange.body.detail]).toEqual([
    409,
    `${mayRun} ask again when they have ended, or fence it if it is off.`,
  ]);
  expect(fenced.body).toEqual({ node: NODE, deleted: true });
});

test("what a host brings that joined anew holds up no singleton, since nothing ends it, and people are told", async () => {
  await using api = await startApi();
  const node = await joinedNode(api.db, NODE);
  await says(api, node, [stranger]);
  const one = await aSingleton(api);

  const { reason } = await shown(api);
  await scheduleApp(api.db, one.app);

  expect(reason).toMatch(/old-1-a\. They run on until the first pod is placed there/);
  expect((await wantedPods(api.db)).map((it) => it.nodeId)).toEqual([node]);
});

test("where a wish ends it, singletons wait for that, and are told for which node", async () => {
  await using api = await startApi();
  const node = await joinedNode(api.db, NODE);
  await wishedUpTo(api.db, 3);
  await says(api, node, [stranger], 3);
  const one = await aSingleton(api);

  const { reason } = await shown(api);
  await scheduleApp(api.db, one.app);
  const waiting = (await api.ask("/v1/apps/one/explain")).body.waiting;
  const placed = await wantedPods(api.db);
  await says(api, node, [], 3);
  await scheduleApp(api.db, one.app);

  expect(reason).toMatch(/old-1-a\. Its wish ends them/);
  expect(waiting).toMatchObject([{ why: expect.stringMatching(/^web-1 may run pods/) }]);
  expect(placed).toEqual([]);
  expect(await wantedPods(api.db)).toHaveLength(1);
});

test("a drain is not over while there are pods that nobody here knows", async () => {
  await using api = await startApi();
  const node = await joinedNode(api.db, NODE);
  await says(api, node, [stranger]);

  const waited = await post(api, "/drain?wait=drained&timeout=1");
  const { drain } = await shown(api);
  await says(api, node, [{ ...stranger, phase: "Succeeded", ready: false }]);
  const over = await shown(api);

  expect(waited.status).toBe(504);
  expect(waited.body.detail).toContain("1 pod is left: old-1-a; this database does not know");
  expect(drain).toMatchObject({ left: 1, done: false });
  expect(over.drain).toMatchObject({ left: 0, done: true });
});
