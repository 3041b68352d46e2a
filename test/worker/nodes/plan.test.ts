import { randomUUID } from "node:crypto";
import { expect, test } from "vitest";
import { NodeId } from "../../../contract/ids.ts";
import { type NodeSight, planNodes } from "../../../worker/nodes/plan.ts";

const MINUTE = 60_000;
const NOW = 100 * MINUTE;
const CALM = { nowMs: NOW, calmSinceMs: 0, replaceAfterMs: 5 * MINUTE };

/** One node for each of these: for how many minutes nobody has heard of it. */
function silentFor(...minutes: readonly number[]): readonly NodeSight[] {
  return minutes.map((it, at) => ({
    id: NodeId.parse(randomUUID()),
    name: `node-${at}`,
    seenAtMs: NOW - it * MINUTE,
    fenced: false,
  }));
}

function lostOf(nodes: readonly NodeSight[], sights: Partial<typeof CALM> = {}) {
  const { lost } = planNodes({ ...CALM, ...sights, nodes });
  return nodes.filter((it) => lost.includes(it.id)).map((it) => it.name);
}

test("a node is given up after its time, and not before", () => {
  expect(lostOf(silentFor(0, 0, 4.9))).toEqual([]);
  expect(lostOf(silentFor(0, 0, 5))).toEqual(["node-2"]);
  expect(lostOf(silentFor(0, 0, 5), { replaceAfterMs: 10 * MINUTE })).toEqual([]);
});

test("none is given up while the control plane itself may be what was away", () => {
  const nodes = silentFor(0, 0, 20);

  expect(lostOf(nodes, { calmSinceMs: NOW - 89_999 })).toEqual([]);
  expect(lostOf(nodes, { calmSinceMs: Number.POSITIVE_INFINITY })).toEqual([]);
  expect(lostOf(nodes, { calmSinceMs: NOW - 90_000 })).toEqual(["node-2"]);
  expect(planNodes({ ...CALM, calmSinceMs: NOW, nodes }).held).toEqual([
    "node-2: the control plane itself was away a moment ago",
  ]);
});

test("of nodes that vanished together as more than half, none is given up, however long ago", () => {
  expect(lostOf(silentFor(0, 0, 20, 20.5, 20.9))).toEqual([]);
  expect(lostOf(silentFor(0, 20, 20.5))).toEqual([]);
  expect(lostOf(silentFor(20))).toEqual([]);
  expect(planNodes({ ...CALM, nodes: silentFor(0, 20, 20.5) })).toMatchObject({
    troubled: true,
    held: [1, 2].map(
      (it) => `node-${it}: more than half of the nodes vanished within a minute of one another`,
    ),
  });
});

test("half of the nodes, or more of them one after the other, are given up", () => {
  expect(lostOf(silentFor(0, 20))).toEqual(["node-1"]);
  expect(lostOf(silentFor(0, 0, 20, 20))).toEqual(["node-2", "node-3"]);
  expect(lostOf(silentFor(0, 20, 40))).toEqual(["node-1", "node-2"]);
});

test("a fenced node went with the others, and is none to give up itself", () => {
  const [a, b, c] = silentFor(0, 20, 20.5) as [NodeSight, NodeSight, NodeSight];

  expect(planNodes({ ...CALM, nodes: [a, { ...b, fenced: true }, c] })).toMatchObject({
    lost: [],
    troubled: true,
  });
  expect(
    planNodes({ ...CALM, nodes: [a, { ...b, fenced: true }, { ...c, fenced: true }] }),
  ).toEqual({ lost: [], troubled: false, held: [] });
});

test("a node that never reported is not one that vanished", () => {
  const nodes = silentFor(0, 0).map((it, at) => (at === 0 ? it : { ...it, seenAtMs: 0 }));

  expect(planNodes({ ...CALM, nodes })).toEqual({ lost: [], troubled: false, held: [] });
});

test("none is given up while no node at all is heard of, however they went", () => {
  const nodes = silentFor(20, 40, 60);

  expect(planNodes({ ...CALM, nodes })).toEqual({
    lost: [],
    troubled: true,
    held: [0, 1, 2].map((it) => `node-${it}: no node at all is heard of`),
  });
  expect(lostOf(silentFor(0, 20, 40, 60))).toEqual(["node-1", "node-2", "node-3"]);
});
