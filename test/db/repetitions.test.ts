import { eq, sql } from "drizzle-orm";
import { expect, test } from "vitest";
import type { NodeId } from "../../contract/ids.ts";
import type { NodeReport } from "../../contract/node/protocol.ts";
import { PROTOCOL } from "../../contract/node/skew.ts";
import type { Db } from "../../db/client.ts";
import { storeAddresses } from "../../db/nodes/addresses.ts";
import { printedText, takeRepetitions } from "../../db/nodes/repetitions.ts";
import { storeReport, storeReports } from "../../db/nodes/sight.ts";
import { nodeStatus, podStatus } from "../../db/schema/core.ts";
import { aReport, joinedNode, wishedUpTo } from "../support/declared.ts";
import { placePod } from "../support/placed-pod.ts";
import { freshDb } from "../support/postgres.ts";
import { aContainer, aStatus } from "../worker/schedule/world.ts";

const print = (report: NodeReport) => printedText(report, PROTOCOL);
const said = (node: NodeId, report: NodeReport) => ({
  ...{ node, report, protocol: PROTOCOL },
  print: print(report),
});
const store = (db: Db, node: NodeId, report: NodeReport) =>
  storeReport(db, node, report, { print: print(report) });

/** Whether a report of this node now would be taken as saying what the one before said. */
async function repeats(db: Db, node: NodeId, report: NodeReport): Promise<boolean> {
  const [taken = false] = await takeRepetitions(db, [{ node, print: print(report), usage: {} }]);
  return taken;
}

test("the same report again is a sign of life, whatever its containers take meanwhile", async () => {
  await using pg = await freshDb();
  const node = await joinedNode(pg.db);
  const pod = await placePod(pg.db, node);
  const report = (cpuMillis: number) => {
    const usage = { cpuMillis, memoryBytes: 1 };
    return aReport([aStatus(pod, { containers: [aContainer({ usage })] })]);
  };
  await store(pg.db, node, report(1));
  await pg.db.update(nodeStatus).set({ seenAt: new Date(0) });
  const usage = { [pod]: { tomcat: { cpuMillis: 900, memoryBytes: 1 } } };

  const taken = await takeRepetitions(pg.db, [
    { node, print: print(report(900)), usage },
    { node, print: "another", usage: {} },
  ]);

  expect(taken).toEqual([true, false]);
  const [row] = await pg.db.select().from(nodeStatus);
  expect(row?.usage).toEqual(usage);
  expect(row?.seenAt.getTime()).toBeGreaterThan(Date.now() - 60_000);
});

test("a report is no repetition of one that was refused as older, nor of one before a change", async () => {
  await using pg = await freshDb();
  const node = await joinedNode(pg.db);
  const pod = await placePod(pg.db, node);
  const [before, after] = [false, true].map((ready) => aReport([aStatus(pod, { ready })], 3));
  if (!before || !after) throw new Error("two reports");
  await wishedUpTo(pg.db, 3);
  await store(pg.db, node, before);
  await store(pg.db, node, after);
  await store(pg.db, node, aReport([], 2));

  expect(await repeats(pg.db, node, before)).toBe(false);
  expect(await repeats(pg.db, node, aReport([], 2))).toBe(false);
  expect(await repeats(pg.db, node, after)).toBe(true);
});

test("what a report tells of pods that are not its node's yet is read each time", async () => {
  await using pg = await freshDb();
  const [node, other] = [await joinedNode(pg.db), await joinedNode(pg.db, "other")];
  const pod = await placePod(pg.db, other);
  const report = aReport([aStatus(pod)]);

  await store(pg.db, node, report);

  expect(await repeats(pg.db, node, report)).toBe(false);
});

test("an address that another node had is taken once that one gave it up, and one that was taken away is told anew", async () => {
  await using pg = await freshDb();
  const [node, other] = [await joinedNode(pg.db), await joinedNode(pg.db, "other")];
  const report = { ...aReport([]), address: "10.9.0.1" };
  const addresses = async () =>
    (await pg.db.select().from(nodeStatus).orderBy(sql`node_id = ${node} desc`)).map(
      (it) => it.address,
    );
  await store(pg.db, other, report);
  await store(pg.db, node, report);

  expect(await repeats(pg.db, node, report)).toBe(false);
  await storeAddresses(pg.db, [{ node: other, told: "10.9.0.2" }]);
  await store(pg.db, node, report);
  expect(await addresses()).toEqual(["10.9.0.1", "10.9.0.2"]);
  await store(pg.db, node, report);
  expect(await repeats(pg.db, node, report)).toBe(true);
  await storeAddresses(pg.db, [{ node, told: "10.9.0.3" }]);
  expect(await repeats(pg.db, node, report)).toBe(false);
});

test("reports of many nodes are stored together, each for its own node, and a second one of a node after it", async () => {
  await using pg = await freshDb();
  const [node, other] = [await joinedNode(pg.db), await joinedNode(pg.db, "other")];
  const [mine, theirs] = [await placePod(pg.db, node), await placePod(pg.db, other)];
  await wishedUpTo(pg.db, 5);
  await store(pg.db, other, aReport([], 5));

  const outcomes = await storeReports(pg.db, [
    said(node, aReport([aStatus(mine), aStatus(theirs)])),
    said(other, aReport([aStatus(theirs)], 4)),
    said(node, aReport([])),
  ]);

  expect(outcomes).toEqual([
    { kind: "stored", newStrangers: [theirs], address: undefined, ahead: undefined },
    { kind: "older", known: 5 },
  ]);
  const seen = await pg.db.select().from(podStatus);
  expect(seen.map((it) => [it.nodeId, it.podId])).toEqual([[node, mine]]);
  const rows = await pg.db.select().from(nodeStatus).where(eq(nodeStatus.nodeId, node));
  expect(rows.map((it) => it.lastReport)).toEqual([null]);
});
