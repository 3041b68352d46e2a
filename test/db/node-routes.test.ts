import { randomUUID } from "node:crypto";
import { eq } from "drizzle-orm";
import { expect, test } from "vitest";
import { z } from "zod";
import { NodeId } from "../../contract/ids.ts";
import { wishTag } from "../../contract/node/protocol.ts";
import type { Db } from "../../db/client.ts";
import { readDesired } from "../../db/nodes/desired.ts";
import { storeReport } from "../../db/nodes/sight.ts";
import { fenceNode } from "../../db/nodes/wishes.ts";
import { apps, nodeStatus, nodes, pods } from "../../db/schema/core.ts";
import { scheduleApp } from "../../worker/schedule/run.ts";
import { aDigest, aReport, built, declareSpec, joinedNode } from "../support/declared.ts";
import { freshDb } from "../support/postgres.ts";
import { aStatus } from "../worker/schedule/world.ts";

/** Nodes called a, b and so on that tell these addresses; undefined is one that tells none. */
async function nodesAt(db: Db, addresses: readonly (string | undefined)[]): Promise<NodeId[]> {
  const joined: NodeId[] = [];
  for (const [index, address] of addresses.entries()) {
    const node = await joinedNode(db, "abcdef"[index]);
    await storeReport(db, node, { ...aReport([]), ...(address !== undefined && { address }) });
    joined.push(node);
  }
  return joined;
}

async function placed(db: Db, name: string, replicas: number) {
  const declared = await declareSpec(db, {
    name,
    war: { artifact: aDigest("a") },
    replicas,
  });
  await built(db, declared);
  await scheduleApp(db, declared.app);
  return declared;
}

async function told(db: Db, node: NodeId) {
  const [wish] = await readDesired(db, [node], "localhost");
  if (!wish) throw new Error("nobody has planned for the node");
  const { routes, peers, ingressKey, pods: own } = wish.desired;
  return { route: routes[0], routes, peers, ingressKey, own: own.map((it) => it.metadata.uid) };
}

const tagOf = async (db: Db, node: NodeId) => {
  const [wish] = await readDesired(db, [node], "localhost");
  return wishTag(wish?.desired ?? { generation: -1, routing: 0 });
};

test("every node is told of every pod: its own by port, those of others by their nodes' addresses", async () => {
  await using pg = await freshDb();
  const all = await nodesAt(pg.db, ["10.9.0.1", "10.9.0.2", "10.9.0.3"]);

  await placed(pg.db, "shop", 2);

  const rows = await pg.db.select().from(pods);
  const addresses = new Map(all.map((node, index) => [node, `10.9.0.${index + 1}`]));
  expect(new Set(rows.map((it) => it.nodeId)).size).toBe(2);
  for (const node of all) {
    const { route, peers, own } = await told(pg.db, node);
    const [mine, others] = [
      rows.filter((it) => it.nodeId === node),
      rows.filter((it) => it.nodeId !== node),
    ];
    expect(peers).toEqual([...addresses.values()].filter((it) => it !== addresses.get(node)));
    expect(own).toEqual(mine.map((it) => it.id));
    expect(route).toMatchObject({ app: "shop", hosts: ["shop.localhost"], port: 8080, pods: own });
    expect(route?.nodePorts).toEqual(Object.fromEntries(mine.map((it) => [it.id, it.nodePort])));
    const remote = others.map((it) => ({
      pod: it.id,
      address: addresses.get(it.nodeId),
      port: it.nodePort,
    }));
    expect(route?.remote).toHaveLength(remote.length);
    expect(route?.remote).toEqual(expect.arrayContaining(remote));
  }
});

test("a node alone has no door to any pod, and what it is told changes only with its own pods", async () => {
  await using pg = await freshDb();
  const [node] = (await nodesAt(pg.db, ["10.9.0.1"])) as [NodeId];

  await placed(pg.db, "shop", 1);

  expect(await told(pg.db, node)).toMatchObject({
    route: { nodePorts: {}, remote: [] },
    peers: [],
  });
  const alone = await tagOf(pg.db, node);
  await placed(pg.db, "blog", 1);
  expect(alone).toMatch(/^"1\.1\.[-0-9a-f]{36}"$/);
  expect(await tagOf(pg.db, node)).toBe(alone.replace('"1.', '"2.'));
});

test("pods that come and go are news for the nodes that have none of them, too", async () => {
  await using pg = await freshDb();
  const all = await nodesAt(pg.db, ["10.9.0.1", "10.9.0.2"]);
  const shop = await placed(pg.db, "shop", 1);
  const [pod] = await pg.db.select().from(pods);
  const other = all.find((it) => it !== pod?.nodeId) as NodeId;
  const before = await tagOf(pg.db, other);
  expect((await told(pg.db, other)).route?.remote).toMatchObject([{ pod: pod?.id }]);

  await pg.db.update(apps).set({ deletedAt: new Date() }).where(eq(apps.id, shop.app));
  await scheduleApp(pg.db, shop.app);

  expect(await tagOf(pg.db, other)).not.toBe(before);
  expect((await told(pg.db, other)).routes).toEqual([]);
});

test("other nodes are told of ready pods as soon as there is one, and of all where none is", async () => {
  await using pg = await freshDb();
  const all = await nodesAt(pg.db, ["10.9.0.1", "10.9.0.2", "10.9.0.3"]);
  await placed(pg.db, "shop", 2);
  const placedPods = await pg.db.select().from(pods);
  const [first] = placedPods;
  if (!first) throw new Error("nothing was placed");
  const other = all.find((it) => placedPods.every(({ nodeId }) => nodeId !== it)) as NodeId;
  const toldOf = async () => (await told(pg.db, other)).route?.remote.map((it) => it.pod).sort();
  const before = await tagOf(pg.db, other);
  expect(await toldOf()).toEqual(placedPods.map((it) => it.id).sort());

  const address = `10.9.0.${all.indexOf(first.nodeId) + 1}`;
  const report = { ...aReport([aStatus(first.id, { ready: true })]), address };
  await storeReport(pg.db, first.nodeId, { ...report, observedGeneration: 1 });

  expect(await tagOf(pg.db, other)).not.toBe(before);
  expect(await toldOf()).toEqual([first.id]);
});

test("a door stays for a while when its pod has gone, and no other node is told of it", async () => {
  await using pg = await freshDb();
  const all = await nodesAt(pg.db, ["10.9.0.1", "10.9.0.2"]);
  await placed(pg.db, "shop", 2);
  const [gone] = await pg.db.select().from(pods);
  if (!gone) throw new Error("nothing was placed");
  await pg.db.update(pods).set({ wanted: "gone", goneAt: new Date() }).where(eq(pods.id, gone.id));

  const { route } = await told(pg.db, gone.nodeId);
  const others = await Promise.all(
    all.filter((it) => it !== gone.nodeId).map((it) => told(pg.db, it)),
  );

  expect(route).toMatchObject({ pods: [], nodePorts: { [gone.id]: gone.nodePort } });
  expect(others.flatMap((it) => it.route?.remote ?? [])).toEqual([]);
});

test("a door stays for as long as an ingress may not know that its pod has gone, for an hour at most", async () => {
  await using pg = await freshDb();
  const all = await nodesAt(pg.db, ["10.9.0.1", "10.9.0.2"]);
  await placed(pg.db, "shop", 1);
  const [gone] = await pg.db.select().from(pods);
  if (!gone) throw new Error("nothing was placed");
  const other = all.find((it) => it !== gone.nodeId) as NodeId;
  const ago = (minutes: number) => new Date(Date.now() - minutes * 60_000);
  const doorsWhere = async (goneAt: Date, heardOf: Date) => {
    await pg.db.update(pods).set({ wanted: "gone", goneAt }).where(eq(pods.id, gone.id));
    await pg.db.update(nodeStatus).set({ seenAt: heardOf }).where(eq(nodeStatus.nodeId, other));
    const { route } = await told(pg.db, gone.nodeId);
    return Object.keys(route?.nodePorts ?? {});
  };

  expect(await doorsWhere(ago(30), ago(40))).toEqual([gone.id]);
  expect(await doorsWhere(ago(30), ago(0))).toEqual([]);
  expect(await doorsWhere(ago(70), ago(80))).toEqual([]);
  await pg.db.update(nodes).set({ fencedAt: new Date() }).where(eq(nodes.id, other));
  expect(await doorsWhere(ago(30), ago(40))).toEqual([]);
});

test("a node without an address, or labelled as no ingress, is told of its own pods alone", async () => {
  await using pg = await freshDb();
  const [, hidden, inner] = (await nodesAt(pg.db, ["10.9.0.1", undefined, "10.9.0.3"])) as [
    NodeId,
    NodeId,
    NodeId,
  ];
  const labels = { "waybill/ingress": "false" };
  await pg.db.update(nodes).set({ labels }).where(eq(nodes.id, inner));
  await placed(pg.db, "shop", 3);

  expect(await told(pg.db, hidden)).toMatchObject({
    route: { nodePorts: {}, remote: [] },
    peers: [],
  });
  const there = await told(pg.db, inner);
  expect(there.route?.remote).toEqual([]);
  expect(Object.keys(there.route?.nodePorts ?? {})).toEqual(there.own);
});

test("only those nodes come in at a door that send requests to other nodes' pods", async () => {
  await using pg = await freshDb();
  const [first, inner] = (await nodesAt(pg.db, ["10.9.0.1", "10.9.0.2"])) as [NodeId, NodeId];
  const labels = { "waybill/ingress": "false" };
  await pg.db.update(nodes).set({ labels }).where(eq(nodes.id, inner));
  await placed(pg.db, "shop", 2);

  const ingress = await told(pg.db, first);
  const there = await told(pg.db, inner);

  expect(ingress.peers).toEqual([]);
  // It asks there itself.
  expect(Object.keys(ingress.route?.nodePorts ?? {})).toEqual(ingress.own);
  expect(ingress.own).toHaveLength(1);
  expect(ingress.route?.remote).toMatchObject([{ address: "10.9.0.2" }]);
  expect(there).toMatchObject({ peers: ["10.9.0.1"], route: { remote: [] } });
});

test("all nodes that others ask, or that ask others, are told one key, and no other node is", async () => {
  await using pg = await freshDb();
  const [first] = (await nodesAt(pg.db, ["10.9.0.1"])) as [NodeId];
  await placed(pg.db, "shop", 1);
  expect((await told(pg.db, first)).ingressKey).toBeUndefined();
  const inner = await joinedNode(pg.db, "b");
  await storeReport(pg.db, inner, { ...aReport([]), address: "10.9.0.2" });
  const hidden = await joinedNode(pg.db, "c");
  const labels = { "waybill/ingress": "false" };
  await pg.db.update(nodes).set({ labels }).where(eq(nodes.id, inner));
  await placed(pg.db, "blog", 6);

  const [asks, isAsked, alone] = [
    await told(pg.db, first),
    await told(pg.db, inner),
    await told(pg.db, hidden),
  ];

  const { data: key } = z.uuid().safeParse(asks.ingressKey);
  expect(key).toBeDefined();
  expect(asks.peers).toEqual([]);
  expect(isAsked).toMatchObject({ peers: ["10.9.0.1"], ingressKey: key });
  expect(alone).not.toHaveProperty("ingressKey", key);
  expect(JSON.stringify(asks.routes)).not.toContain(key);
});

test("no request goes to a host that somebody says is off, nor is one taken from there", async () => {
  await using pg = await freshDb();
  const [first, second] = (await nodesAt(pg.db, ["10.9.0.1", "10.9.0.2"])) as [NodeId, NodeId];
  await placed(pg.db, "shop", 2);
  const before = await tagOf(pg.db, first);

  await pg.db.transaction((tx) => fenceNode(tx, second));

  expect(await tagOf(pg.db, first)).not.toBe(before);
  expect(await told(pg.db, first)).toMatchObject({ route: { remote: [] }, peers: [] });
});

test("a node whose agent has just started, and tells no address yet, is reached where it was", async () => {
  await using pg = await freshDb();
  const [first, second] = (await nodesAt(pg.db, ["10.9.0.1", "10.9.0.2"])) as [NodeId, NodeId];
  await placed(pg.db, "shop", 2);
  const before = await told(pg.db, first);

  await storeReport(pg.db, second, aReport([], 1));

  expect(before.route?.remote).toHaveLength(1);
  expect(await told(pg.db, first)).toEqual(before);
});

test("nodes that are read together are told what each is told alone", async () => {
  await using pg = await freshDb();
  const all = await nodesAt(pg.db, ["10.9.0.1", "10.9.0.2", undefined]);
  await placed(pg.db, "shop", 3);
  await placed(pg.db, "blog", 2);
  const stranger = NodeId.parse(randomUUID());

  const together = await readDesired(pg.db, [...all, stranger], "localhost");

  const alone = await Promise.all(all.map((node) => readDesired(pg.db, [node], "localhost")));
  expect(together).toEqual([...alone.flat(), undefined]);
  expect(new Set(together.map((it) => it?.desired.pods.length)).size).toBeGreaterThan(1);
});
