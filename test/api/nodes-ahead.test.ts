import { randomUUID } from "node:crypto";
import { sql } from "drizzle-orm";
import { expect, test, vi } from "vitest";
import { PodId } from "../../contract/ids.ts";
import type { Declared } from "../../db/apps/apps.ts";
import { endAdoptions } from "../../db/nodes/adopt.ts";
import { scheduleApp } from "../../worker/schedule/run.ts";
import { startApi, type TestApi } from "../support/api.ts";
import { backUp } from "../support/backup.ts";
import { aDigest, aReport, built, declare } from "../support/declared.ts";
import { type HoldingAgent, holdingAgent } from "../support/holding-agent.ts";
import { joined } from "../support/joined.ts";
import { generation, wantedPods } from "../worker/schedule/scheduled.ts";
import { aStatus } from "../worker/schedule/world.ts";

/*
 * A database that is restored from a backup, below nodes that go on from its first life: with pg_dump and
 * psql, the api, the scheduler, and agents that keep what they are told by the agent's own rule.
 */

/** The scheduler and the agents look in turns, until a rollout of a pod or two is over. */
async function settle(api: TestApi, apps: readonly Declared[], agents: readonly HoldingAgent[]) {
  for (let turn = 0; turn < 5; turn++) {
    await endAdoptions(api.db);
    for (const { app } of apps) await scheduleApp(api.db, app);
    for (const agent of agents) await agent.turn();
  }
}

async function deploy(
  api: TestApi,
  name: string,
  agents: readonly HoldingAgent[],
  { war = "a", spec = {} }: { readonly war?: string; readonly spec?: object } = {},
): Promise<Declared> {
  const declared = await declare(api.db, name, aDigest(war), spec);
  await built(api.db, declared, aDigest(war));
  await settle(api, [declared], agents);
  return declared;
}

const shown = async (api: TestApi, node: string) => (await api.ask(`/v1/nodes/${node}`)).body;

const adopt = async (api: TestApi, node: string, query = "") =>
  (await api.ask(`/v1/nodes/${node}/adopt${query}`, { method: "POST" })).body;

const alarms = async (api: TestApi) =>
  (await api.db.execute(sql`select object from audit where action = 'node.ahead'`)).map(
    (it) => it.object,
  );

/** How often the nodes were told their routes anew. */
const routing = async (api: TestApi) =>
  Number((await api.db.execute(sql`select sum(generation) as it from routing`))[0]?.it ?? 0);

/** An agent that runs what a later release asks for than the one that the restored database knows. */
async function aheadOf(api: TestApi) {
  const agent = await holdingAgent(api, "node-a");
  await agent.turn();
  const shop = await deploy(api, "shop", [agent]);
  const restore = await backUp(api.pg);
  await deploy(api, "shop", [agent], { war: "d" });
  const held = agent.ledger();
  await restore();
  return { agent, shop, held };
}

test("a node that holds what a restored database never made keeps it, and people are told", async () => {
  await using api = await startApi();
  const { agent, shop, held } = await aheadOf(api);

  await settle(api, [shop], [agent]);

  expect(agent.ledger()).toEqual(held);
  expect((await agent.ask()).body).toMatchObject({ type: "/problems/node-ahead", status: 412 });
  const node = await shown(api, "node-a");
  expect(node).toMatchObject({ status: "ahead", ready: true });
  expect(node.reason).toContain(`holds generation ${held?.generation}`);
  expect(node.strangers.map((it: { name: string }) => it.name)).toEqual(agent.runs());
  expect(await alarms(api)).toEqual(["node:node-a"]);
});

test("a node that is ahead is none that an app could be deployed to", async () => {
  await using api = await startApi();
  const { agent } = await aheadOf(api);
  const missing = async () => (await api.ask("/readyz", { token: null })).body.missing.join();
  expect(await missing()).not.toContain("no node");

  await agent.turn();

  expect(await missing()).toContain(
    "no node that takes pods was heard of in the last 30 s (1 node is ahead of the database)",
  );
});

test("one that tells another wish each time is on record once, and none of an absurd generation is adopted", async () => {
  await using api = await startApi();
  const { token } = await joined(api, "node-a");
  const report = (more: object) =>
    api.ask("/v1/node/report", { method: "POST", token, json: { ...aReport([], 7), ...more } });

  for (let time = 0; time < 3; time++) await report({ observedMark: randomUUID() });
  await report({ observedGeneration: Number.MAX_SAFE_INTEGER });

  expect(await alarms(api)).toEqual(["node:node-a"]);
  const absurd = await adopt(api, "node-a");
  expect(absurd).toMatchObject({ status: 412, type: "/problems/node-ahead" });
  expect(absurd.detail).toContain(`generation ${Number.MAX_SAFE_INTEGER}`);
});

test("a node that is ahead by any number that it may tell is adopted, and told its wish", async () => {
  await using api = await startApi();
  const agent = await holdingAgent(api, "node-a");
  await agent.turn();
  const held = { generation: 100_000_000_000_000, mark: randomUUID() };
  await api.db.execute(sql`update node_status set ahead = ${JSON.stringify(held)}::jsonb`);

  const did = await adopt(api, "node-a");
  await agent.turn();

  expect(did.generation).toBe(held.generation + 1);
  expect(agent.ledger()?.generation).toBe(did.generation);
});

test("pods that nobody knows are told of once, and no more is kept of them than is shown", async () => {
  await using api = await startApi();
  const { node, token } = await joined(api, "node-a");
  const warn = vi.spyOn(api.deps.log, "warn");
  const report = async (...pods: readonly string[]) => {
    const logTail = ["a line of its log"];
    const seen = pods.map((pod) => ({ ...aStatus(PodId.parse(pod), { logTail }), name: "lost" }));
    await api.ask("/v1/node/report", { method: "POST", token, json: aReport(seen) });
    return warn.mock.calls.map(([, fields]) => fields?.strangers);
  };
  const [one, other] = [randomUUID(), randomUUID()];

  await report(one);
  expect(await report(one)).toEqual([[one]]);
  expect(await report(one, other)).toEqual([[one], [other]]);

  const stored = await api.db.execute(
    sql`select strangers from node_status where node_id = ${node}`,
  );
  const shownOf = (pod: string) => ({ pod, name: "lost", phase: "Running" });
  expect(stored).toEqual([{ strangers: [one, other].toSorted().map(shownOf) }]);
  expect((await shown(api, "node-a")).strangers).toEqual([one, other].toSorted().map(shownOf));
});

test("neither does a generation that merely counts past what the node holds become its wish", async () => {
  await using api = await startApi();
  const { agent, held } = await aheadOf(api);
  const past = (held?.generation ?? 0) + 40;

  // All of it happens before the node is heard of again.
  for (let at = await generation(api.db, agent.node); at < past; at++)
    await api.db.execute(sql`update node_plans set generation = generation + 1`);
  await agent.turn();
  await agent.turn();

  expect(await generation(api.db, agent.node)).toBe(past);
  expect(agent.ledger()).toEqual(held);
  expect((await shown(api, "node-a")).status).toBe("ahead");
});

test("nothing is placed on such a node, and whoever asks why is told", async () => {
  await using api = await startApi();
  const { agent } = await aheadOf(api);
  await agent.report();

  await deploy(api, "blog", [agent]);

  expect(
    (await wantedPods(api.db)).map((it) => it.name).filter((it) => it.startsWith("blog")),
  ).toEqual([]);
  const why = "node-a: ahead of the database: it has to be reconciled";
  expect((await api.ask("/v1/apps/blog/explain")).body.waiting).toMatchObject([{ nodes: [why] }]);
});

test("adopted, the node does as it is told again: what is known stays, what is not ends", async () => {
  await using api = await startApi();
  const agent = await holdingAgent(api, "node-a");
  await agent.turn();
  const shop = await deploy(api, "shop", [agent]);
  const [kept] = agent.runs();
  const restore = await backUp(api.pg);
  await deploy(api, "blog", [agent]);
  const [blog] = agent.runs();
  await restore();
  await agent.turn();

  const would = await adopt(api, "node-a", "?dryRun=true");
  const held = agent.ledger();
  await agent.turn();
  expect(agent.ledger()).toEqual(held);
  const did = await adopt(api, "node-a");
  const again = await adopt(api, "node-a");
  await settle(api, [shop], [agent]);

  expect(would.pods).toMatchObject([
    { pod: kept, app: "shop", becomes: "stays" },
    { pod: blog, app: null, becomes: "ends" },
  ]);
  expect(did).toEqual({ ...would, generation: (held?.generation ?? 0) + 1 });
  expect(again).toMatchObject({ adopts: false, generation: null, pods: [] });
  expect(agent.runs()).toEqual([kept]);
  expect(agent.ledger()?.pods).toEqual(held?.pods.filter((it) => it.metadata.name === kept));
  expect(await shown(api, "node-a")).toMatchObject({
    status: "ready",
    reason: null,
    strangers: [],
  });
  const audit = await api.db.execute(
    sql`select before, after from audit where action = 'node.adopt'`,
  );
  expect(audit).toEqual([
    { before: `ahead at ${held?.generation}`, after: `generation ${did.generation}` },
  ]);
});

test("an app that goes on in both lives is deployed as ever afterwards", async () => {
  await using api = await startApi();
  const { agent } = await aheadOf(api);
  await agent.turn();
  await adopt(api, "node-a");
  await agent.turn();

  const shop = await deploy(api, "shop", [agent], { war: "e" });

  expect(agent.runs()).toEqual([expect.stringMatching(/^shop-2-/)]);
  expect((await api.ask("/v1/apps/shop")).body).toMatchObject({ live: 2, wanted: 2 });
  expect(shop.number).toBe(2);
});

test("what this database does not know serves until what it wants instead is ready", async () => {
  await using api = await startApi();
  const { agent, shop } = await aheadOf(api);
  await agent.turn();
  const [unknown] = agent.runs();
  const routed = () => agent.ledger()?.routes.map((it) => it.pods.length);

  const did = await adopt(api, "node-a");
  await agent.ask();
  await agent.report([], /^shop-1-/);
  expect(await endAdoptions(api.db)).toBe(0);
  await agent.ask();
  const both = agent.runs();
  const ways = routed();

  await agent.report();
  await settle(api, [shop], [agent]);

  expect(did.pods).toMatchObject([
    { app: "shop", becomes: "starts" },
    { pod: unknown, becomes: "ends" },
  ]);
  expect(both).toEqual([expect.stringMatching(/^shop-1-/), unknown]);
  expect(ways).toEqual([2]);
  expect([agent.runs(), routed()]).toEqual([[both[0]], [1]]);
});

test("so it does while another node with wanted pods was not heard of yet", async () => {
  await using api = await startApi();
  const agents = [await holdingAgent(api, "node-a"), await holdingAgent(api, "node-b")];
  const [agent, silent] = agents as [HoldingAgent, HoldingAgent];
  for (const it of agents) await it.turn();
  await deploy(api, "shop", agents, { spec: { replicas: 2 } });
  const restore = await backUp(api.pg);
  await api.ask("/v1/nodes/node-b/cordon", { method: "POST" });
  await deploy(api, "blog", agents);
  await restore();
  await api.db.execute(sql`update node_status set seen_at = now() - interval '1 minute'`);
  await agent.turn();

  await adopt(api, "node-a");
  await agent.turn();
  const early = await endAdoptions(api.db);
  await silent.turn();

  expect(silent.runs()).toHaveLength(1);
  expect([early, await endAdoptions(api.db)]).toEqual([0, 1]);
});

test("what is wanted and never becomes ready keeps the unknown for five minutes", async () => {
  await using api = await startApi();
  const { agent } = await aheadOf(api);
  await agent.turn();
  await adopt(api, "node-a");
  await agent.ask();
  await agent.report([], /^shop-1-/);

  await api.db.execute(sql`update node_plans set adopted_at = now() - interval '6 minutes'`);

  expect(await endAdoptions(api.db)).toBe(1);
  await agent.ask();
  expect(agent.runs()).toEqual([expect.stringMatching(/^shop-1-/)]);
});

test("a singleton that moved after the backup is started nowhere before the other one has ended", async () => {
  await using api = await startApi();
  const agents = [await holdingAgent(api, "node-a"), await holdingAgent(api, "node-b")];
  const [first, second] = agents as [HoldingAgent, HoldingAgent];
  for (const it of agents) await it.turn();
  await api.ask("/v1/nodes/node-b/cordon", { method: "POST" });
  const one = await deploy(api, "one", agents, { spec: { singleton: true } });
  const restore = await backUp(api.pg);
  await api.ask("/v1/nodes/node-b/uncordon", { method: "POST" });
  await api.ask("/v1/nodes/node-a/drain", { method: "POST" });
  await settle(api, [one], agents);
  const [other] = second.runs();
  expect(first.runs()).toEqual([]);
  await restore();
  for (const it of agents) await it.turn();

  // One after the other, and the node of the old place first: in between it must not start there.
  await api.db.execute(sql`update node_status set address = '10.9.0.' || ascii(right(name, 1))
    from nodes where nodes.id = node_id`);
  const routes = await routing(api);
  const would = await adopt(api, "node-a");
  expect(await routing(api)).toBe(routes + 1);
  await settle(api, [one], [first]);
  expect(would.pods).toMatchObject([{ app: "one", becomes: "waits" }]);
  expect([first.runs(), second.runs()]).toEqual([[], [other]]);
  expect((await api.ask("/v1/apps/one/explain")).body.waiting[0].why).toContain(
    "node-b may run pods",
  );
  const another = { name: "another", image: "registry.example.com/team/api:1", singleton: true };
  const planned = await api.ask("/v1/apps/another?dryRun=true", { method: "PUT", json: another });
  expect(planned.body.plan).toMatchObject({
    pods: [],
    waiting: [{ pods: 1, why: expect.stringContaining("node-b may run pods") }],
  });

  const [running] = second.ledger()?.pods ?? [];
  await adopt(api, "node-b");
  await second.ask();
  expect(second.runs()).toEqual([other]);
  await settle(api, [one], [first]);
  await second.ask();
  const id = running?.metadata.uid;
  const status = { phase: "Terminating", ready: false, restarts: 0, containers: [], logTail: [] };
  for (let turn = 0; turn < 3; turn++) {
    await second.report([{ ...status, pod: id } as never]);
    await settle(api, [one], [first]);
  }
  expect([first.runs(), second.runs()]).toEqual([[], []]);

  await second.report();
  await settle(api, [one], agents);
  expect([first.runs(), second.runs()]).toEqual([[expect.stringMatching(/^one-1-/)], []]);
}, 60_000);

test("an agent whose reports were lost for long is of this history, whatever it has missed", async () => {
  await using api = await startApi();
  const agent = await holdingAgent(api, "node-a");
  await agent.turn();
  await deploy(api, "shop", [agent]);
  await api.db.execute(sql`update node_plans set generation = generation + 1`);
  await agent.ask();
  const held = agent.ledger()?.generation ?? 0;

  for (let missed = 0; missed < 100; missed++)
    await api.db.execute(sql`update node_plans set generation = generation + 1`);
  await agent.turn();

  expect(agent.ledger()?.generation).toBe(held + 100);
  expect((await shown(api, "node-a")).status).toBe("ready");
});

test("a host that joins again with another key is asked for what it holds all the same", async () => {
  await using api = await startApi();
  const { agent, held } = await aheadOf(api);

  await agent.joinAnew();

  expect((await agent.ask()).status).toBe(412);
  expect(agent.ledger()).toEqual(held);
});
