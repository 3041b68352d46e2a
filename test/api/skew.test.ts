import { expect, test } from "vitest";
import type { NodeId } from "../../contract/ids.ts";
import type { JoinAnswer, NodeReport, PodStatus } from "../../contract/node/protocol.ts";
import { PROTOCOL, PROTOCOL_HEADER } from "../../contract/node/skew.ts";
import { scheduleApp } from "../../worker/schedule/run.ts";
import { startApi, type TestApi } from "../support/api.ts";
import { aDigest, aReport, built, type declare, declareSpec } from "../support/declared.ts";
import { joined } from "../support/joined.ts";
import { generation, phases, wantedPods } from "../worker/schedule/scheduled.ts";
import { aStatus } from "../worker/schedule/world.ts";

/* Agents that speak what the api does not, or tell no number at all, as those of before there were any. */

const EARLIER = `its agent speaks protocol 1, the api ${PROTOCOL}: update Waybill on that host and start it again`;
const LATER = `its agent speaks protocol ${PROTOCOL + 1}, the api ${PROTOCOL}: update Waybill where the api runs and start it again`;

/** The agent of this node tells what it sees, in a body of its own where it is of a later version. */
const tells = (
  api: TestApi,
  { token }: JoinAnswer,
  report: NodeReport | object,
  protocol: number | null = PROTOCOL,
) => api.ask("/v1/node/report", { method: "POST", token, json: report, protocol });

async function aNode(api: TestApi, name = "web-1", address?: string): Promise<JoinAnswer> {
  const node = await joined(api, name);
  await tells(api, node, { ...aReport([]), ...(address !== undefined && { address }) });
  return node;
}

type Declared = Awaited<ReturnType<typeof declare>>;

async function declared(api: TestApi, war: string, replicas = 1): Promise<Declared> {
  const made = await declareSpec(api.db, {
    ...{ name: "shop", war: { artifact: aDigest(war) }, replicas },
  });
  await built(api.db, made, aDigest(war));
  await scheduleApp(api.db, made.app);
  return made;
}

/** All pods that are wanted there, in this state, with the node's newest wish in hand. */
async function sees(
  api: TestApi,
  node: NodeId,
  state: Partial<PodStatus> = { ready: true },
): Promise<NodeReport> {
  const there = (await wantedPods(api.db)).filter((it) => it.nodeId === node);
  const statuses = there.map((it) => aStatus(it.id, state));
  return aReport(statuses, await generation(api.db, node));
}

/** An app that is live on the node, which is heard of. */
async function live(api: TestApi, node: JoinAnswer): Promise<Declared> {
  const made = await declared(api, "a");
  await tells(api, node, await sees(api, node.node));
  await scheduleApp(api.db, made.app);
  expect(await phases(api.db)).toEqual(["live"]);
  return made;
}

const shown = async (api: TestApi, node = "web-1") => (await api.ask(`/v1/nodes/${node}`)).body;
const explained = async (api: TestApi) => (await api.ask("/v1/apps/shop/explain")).body;
const podsShown = async (api: TestApi) => (await api.ask("/v1/apps/shop")).body.pods;

test.each([
  ["tells no number", null],
  ["tells an earlier one", 1],
])(
  "a node whose agent %s is not ready, says what to do, and is told on what to run",
  async (_, protocol) => {
    await using api = await startApi();
    const node = await aNode(api);
    expect(await shown(api)).toMatchObject({ status: "ready", ready: true, protocol: PROTOCOL });
    const { app } = await live(api, node);

    await tells(api, node, await sees(api, node.node), protocol);
    await scheduleApp(api.db, app);

    const told = { status: "incompatible", ready: false, protocol: 1, version: "test" };
    expect(await shown(api)).toMatchObject({ ...told, reason: EARLIER, cordoned: false });
    expect((await api.ask("/v1/nodes")).body.nodes).toMatchObject([{ ...told, reason: EARLIER }]);
    expect(await podsShown(api)).toMatchObject([{ phase: "Running", ready: true }]);
    expect((await explained(api)).pods).toMatchObject([
      { why: `it runs on there, and would not be placed there now: web-1: ${EARLIER}` },
    ]);
    const wish = await api.ask("/v1/node/desired?waitMs=0", { token: node.token, protocol });
    expect(wish.body.pods).toHaveLength(1);
    expect(wish.body).not.toHaveProperty("mark");
    const ofToday = await api.ask("/v1/node/desired?waitMs=0", { token: node.token });
    expect(ofToday.body).toHaveProperty("mark");
    expect(wish.headers.get(PROTOCOL_HEADER)).toBe(String(PROTOCOL));
    expect((await api.ask("/readyz", { token: null })).body.missing).toContain(
      "no node that takes pods was heard of in the last 30 s (1 node's agent speaks another protocol)",
    );
  },
);

test("an agent of before there was an ingress key is told its peers without one", async () => {
  await using api = await startApi();
  const [node] = [await aNode(api, "a", "10.9.0.1"), await aNode(api, "b", "10.9.0.2")];
  await live(api, node);
  const told = async (protocol: number | null) =>
    (await api.ask("/v1/node/desired?waitMs=0", { token: node.token, protocol })).body;

  expect(await told(1)).toMatchObject({ peers: ["10.9.0.2"] });
  expect(await told(1)).not.toHaveProperty("ingressKey");
  expect(await told(PROTOCOL)).toMatchObject({ ingressKey: expect.any(String) });
});

test("nothing new comes to such a node, in words, until its agent is updated", async () => {
  await using api = await startApi();
  const node = await aNode(api);
  const first = await live(api, node);
  await tells(api, node, await sees(api, node.node), 1);

  await declared(api, "d");
  const waiting = await explained(api);
  const before = await wantedPods(api.db);
  await tells(api, node, await sees(api, node.node));
  await scheduleApp(api.db, first.app);

  expect(before.map((it) => it.releaseId)).toEqual([first.release]);
  expect(waiting.waiting).toEqual([
    { pods: 1, why: "no node can take the pod", nodes: [`web-1: ${EARLIER}`] },
  ]);
  expect(await wantedPods(api.db)).toHaveLength(2);
  expect(await shown(api)).toMatchObject({ status: "ready", ready: true, reason: null });
});

test("what an agent of a later protocol says is not read; it is heard of, and what runs there stays", async () => {
  await using api = await startApi();
  const node = await aNode(api);
  const { app } = await live(api, node);

  const answer = await tells(
    api,
    node,
    { words: "of a later time, ".repeat(300_000) },
    PROTOCOL + 1,
  );
  await scheduleApp(api.db, app);

  expect(answer.status).toBe(204);
  const told = { status: "incompatible", ready: false, protocol: PROTOCOL + 1, version: "unknown" };
  expect(await shown(api)).toMatchObject({ ...told, reason: LATER, pods: 1 });
  expect(await wantedPods(api.db)).toHaveLength(1);
  expect(await podsShown(api)).toMatchObject([
    { phase: "Unknown", ready: false, reason: `its node is not understood (${LATER})` },
  ]);

  await tells(api, node, await sees(api, node.node));
  expect(await shown(api)).toMatchObject({ status: "ready", version: "test", protocol: PROTOCOL });
  expect(await podsShown(api)).toMatchObject([{ phase: "Running", ready: true }]);
});

test("an agent of a later protocol that the api never understood is known by that", async () => {
  await using api = await startApi();
  const node = await joined(api, "web-1");

  await tells(api, node, {}, PROTOCOL + 1);

  expect(await shown(api)).toMatchObject({ status: "incompatible", reason: LATER, running: [] });
});

test("the same report by another agent is read again", async () => {
  await using api = await startApi();
  const node = await aNode(api);

  for (const protocol of [1, PROTOCOL, PROTOCOL + 1, PROTOCOL]) {
    await tells(api, node, aReport([]), protocol);
    expect(await shown(api)).toMatchObject({ protocol });
  }
});

test("what an agent says beside what is known is left out, in a report and in logs", async () => {
  await using api = await startApi();
  const node = await aNode(api);
  await live(api, node);
  const report = await sees(api, node.node);
  const [pod] = report.pods;
  const statuses = [{ ...pod, mood: "well", probe: { times: 1, colour: "green" } }];

  const answer = await tells(api, node, { ...report, pods: statuses, weather: "fair" });
  const batch = { chunks: [], weather: "fair" };
  const logs = await api.ask("/v1/node/logs", { method: "POST", token: node.token, json: batch });

  expect([answer.status, logs.status]).toEqual([204, 200]);
  expect(await podsShown(api)).toMatchObject([{ ready: true }]);
});

test("a number that is none is refused", async () => {
  await using api = await startApi();
  const node = await aNode(api);
  const headers = { [PROTOCOL_HEADER]: "two" };
  const asked = { method: "POST", token: node.token, json: aReport([]), headers };

  const answer = await api.ask("/v1/node/report", asked);

  expect(answer).toMatchObject({ status: 400, body: { type: "/problems/body-invalid" } });
});
