import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { NodeId, PodId } from "../../contract/ids.ts";
import { NODE_PORTS } from "../../contract/node/node-ports.ts";
import type { Demands, Labels } from "../../contract/placement/demands.ts";
import { forecast, withoutPod } from "../../contract/placement/explain.ts";
import { canTake } from "../../contract/placement/filter.ts";
import {
  type Found,
  findPlaces,
  waitingWords,
  withPodOn,
} from "../../contract/placement/find-places.ts";
import { judgeOf } from "../../contract/placement/judge.ts";
import {
  type Asked,
  labelOf,
  type NodeView,
  type Surroundings,
  type Tenant,
} from "../../contract/placement/node-view.ts";
import { chosenOf, spreadOf } from "../../contract/placement/score.ts";
import { NOTHING_TOLD } from "../../contract/placement/wish.ts";
import { HOSTNAME_LABEL } from "../../contract/pod/pod.ts";
import { aNode, demands } from "../worker/schedule/world.ts";

/** The same as it is meant: every node is asked anew for every pod. */
function plainPlaces(
  world: Surroundings,
  asked: Asked,
  count: number,
  taken: readonly NodeId[],
): readonly Found[] {
  const found: Found[] = [];
  const siblings = [...taken];
  let around = world;
  // Far above any count, since an infinite number less itself is none.
  const inPlaceOf = (node: NodeView) => {
    const place = labelOf(node, asked.spreadBy);
    const there = around.nodes.filter((it) => labelOf(it, asked.spreadBy) === place);
    return place === undefined ? 1_000 : sumOf(there.map((it) => timesIn(siblings, it)));
  };
  while (found.length < count) {
    const verdicts = around.nodes.map((node) => ({ node, verdict: canTake(node, asked, around) }));
    const fitting = verdicts.filter((it) => it.verdict.fits).map((it) => it.node);
    const [node] = fitting.toSorted(
      (a, b) =>
        inPlaceOf(a) - inPlaceOf(b) ||
        timesIn(siblings, a) - timesIn(siblings, b) ||
        fullness(b) - fullness(a) ||
        (a.name < b.name ? -1 : 1),
    );
    expect(chosenOf(fitting, spreadOf(around.nodes, asked.spreadBy, siblings))?.node).toBe(node);
    if (!node) {
      const against = verdicts.flatMap(({ verdict }) => (verdict.fits ? [] : [verdict.why]));
      return [...found, { kind: "wait", against }];
    }
    found.push({ kind: "place", node: node.id });
    siblings.push(node.id);
    around = withPodOn(around, node.id, asked);
  }
  return found;
}

const timesIn = (siblings: readonly NodeId[], { id }: NodeView) =>
  siblings.filter((it) => it === id).length;
const sumOf = (numbers: readonly number[]) => numbers.reduce((sum, it) => sum + it, 0);
const fullness = ({ used, allocatable }: NodeView) =>
  used.memoryBytes / Math.max(1, allocatable.memoryBytes);

const kind = fc.constantFrom("a", "b", "c");
const kinds = fc.uniqueArray(kind, { maxLength: 2 });
/** Mostly none: of hostile neighbours alone there is little to place. */
const selectors = fc
  .oneof({ weight: 3, arbitrary: fc.constant<("a" | "b" | "c")[]>([]) }, kinds)
  .map((of) => of.map((it): Labels => ({ kind: it })));
const asking = fc
  .record({
    memoryBytes: fc.constantFrom(1, 2, 3),
    labels: kind.map((it) => ({ ...demands().labels, kind: it })),
    near: selectors,
    apart: selectors,
    hostPorts: fc.constantFrom([], [], ["80/TCP"], ["80/TCP", "81/TCP"]),
    nodeSelector: fc.constantFrom<Labels>({}, {}, { pool: "x" }),
    claims: fc.constantFrom([], [], ["data"], ["data", "more"]),
  })
  .map(({ memoryBytes, ...rest }): Demands => {
    const requests = { cpuMillis: 100, memoryBytes, pods: 1 };
    return demands({ ...rest, requests });
  });
const node = fc
  .record({
    memoryBytes: fc.integer({ min: 0, max: 20 }),
    pods: fc.integer({ min: 0, max: 12 }),
    cordoned: fc.constantFrom(false, false, false, true),
    labels: fc.constantFrom<Labels>({}, { pool: "x" }, { zone: "a" }, { pool: "x", zone: "b" }),
    tenants: fc.array(asking, { maxLength: 2 }),
    told: fc.constantFrom(0, 0, 0, 998, 1_000),
  })
  .map(({ memoryBytes, pods, tenants, told, ...rest }) => (name: string) => {
    const there = tenants.map((it): Tenant => ({ pod: PodId.parse(randomUUID()), demands: it }));
    const used = tenants.reduce((sum, it) => sum + it.requests.memoryBytes, 0);
    return aNode({
      ...rest,
      name,
      id: NodeId.parse(randomUUID()),
      allocatable: { cpuMillis: 10_000, memoryBytes, pods },
      tenants: there,
      used: { cpuMillis: 0, memoryBytes: used, pods: there.length },
      wish: { ...NOTHING_TOLD, pods: told },
    });
  });
const WISH = { textBytes: 1, door: false, materials: new Map<string, number>() };
const worlds = fc.record({
  nodes: fc.array(node, { maxLength: 7 }),
  asked: asking,
  count: fc.integer({ min: 0, max: 9 }),
  taken: fc.array(fc.nat(6), { maxLength: 4 }),
  home: fc.option(fc.nat(6), { nil: undefined }),
  spreadBy: fc.constantFrom(HOSTNAME_LABEL, "zone", "pool", "nobody-has-it"),
});

test("places are those that asking every node for every pod would find, in that order, with the same words", () => {
  const seen = { placed: 0, waited: 0 };
  fc.assert(
    fc.property(worlds, ({ asked, count, taken, home, spreadBy, ...said }) => {
      // Names in another order than the nodes: equals are told apart by name.
      const nodes = said.nodes.map((make, at) => make(`node-${9 - at}`));
      const at = (index: number) => nodes[index % Math.max(1, nodes.length)]?.id;
      const volumes = new Map([
        ["data", home === undefined ? undefined : at(home)],
        ["more", undefined],
      ]);
      const world = { nowMs: 1_000_000, nodes, volumes };
      const pod = { demands: asked, spreadBy, wish: { ...WISH, door: true } };
      const siblings = taken.flatMap((it) => at(it) ?? []);

      const found = findPlaces(world, pod, count, siblings);

      expect(found).toEqual(plainPlaces(world, pod, count, siblings));
      expect(foreseen(world, pod, count, siblings)).toEqual(found);
      expectToldAlike(world, pod, found);
      seen.placed += found.filter((it) => it.kind === "place").length;
      seen.waited += found.filter((it) => it.kind === "wait").length;
    }),
    { numRuns: 3_000 },
  );
  expect(seen.placed).toBeGreaterThan(1_000);
  expect(seen.waited).toBeGreaterThan(1_000);
});

/** The same as whoever asks for a plan is told. */
function foreseen(world: Surroundings, asked: Asked, count: number, staying: readonly NodeId[]) {
  const coming = { count, strategy: { kind: "rolling" }, staying, old: [] } as const;
  const { placed, waiting } = forecast(world, asked, coming);
  const ids = new Map(world.nodes.map(({ name, id }) => [name, id]));
  return [
    ...placed.map(({ node }) => ({ kind: "place", node: ids.get(node) })),
    ...(waiting ? [{ kind: "wait", against: waiting.against }] : []),
  ];
}

/** What a judge remembers is what it would say anew, while pods come and those that were there go. */
function expectToldAlike(world: Surroundings, asked: Asked, found: readonly Found[]): void {
  const judge = judgeOf(asked);
  const check = (around: Surroundings) => {
    const anew = around.nodes.map((node) => ({ node, verdict: canTake(node, asked, around) }));
    expect(judge(around)).toEqual(anew);
    return around;
  };
  const full = found.reduce(
    (around, it) => check(it.kind === "place" ? withPodOn(around, it.node, asked) : around),
    check(world),
  );
  const pods = world.nodes.flatMap(({ id: node, tenants }) =>
    tenants.flatMap(({ pod: id }) => (id ? { id, node } : [])),
  );
  pods.reduce((around, pod) => check(withoutPod(around, pod)), full);
}

test("why a pod waits is one line, also in a fleet of thousands", () => {
  const nodes = Array.from({ length: 5_000 }, (_, at) =>
    aNode({ id: NodeId.parse(randomUUID()), name: `node-${at}`, cordoned: true }),
  );
  const asked = { demands: demands(), spreadBy: HOSTNAME_LABEL, wish: WISH };
  const [found] = findPlaces({ nowMs: 1_000_000, nodes, volumes: new Map() }, asked, 1, []);

  expect(found?.kind === "wait" && waitingWords(found.against)).toBe(
    "node-0: cordoned; node-1: cordoned; node-2: cordoned; node-3: cordoned; node-4: cordoned; and 4995 more nodes",
  );
});

test("a node that has no port left for requests takes no pod that needs one, and says so", () => {
  const doors = NODE_PORTS.last - NODE_PORTS.first;
  const nodes = [aNode({ wish: { ...NOTHING_TOLD, doors } })];
  const world = { nowMs: 1_000_000, nodes, volumes: new Map() };
  const asking = (door: boolean) => ({
    ...{ demands: demands(), spreadBy: HOSTNAME_LABEL },
    wish: { ...WISH, door },
  });

  expect(findPlaces(world, asking(true), 2, [])).toEqual([
    { kind: "place", node: nodes[0]?.id },
    {
      kind: "wait",
      against: ["node-a: all of its 1768 ports for requests are taken, or were a moment ago"],
    },
  ]);
  expect(findPlaces(world, asking(false), 2, []).map((it) => it.kind)).toEqual(["place", "place"]);
});

test("pods spread over the values of a label, and over the nodes of each; nodes without it come last", () => {
  const roomForTwo = { cpuMillis: 4_000, memoryBytes: 4e9, pods: 2 };
  const at = (name: string, labels: Labels) => aNode({ name, labels, allocatable: roomForTwo });
  const nodes = [at("a-1", { zone: "a" }), at("a-2", { zone: "a" }), at("b", { zone: "b" })];
  const stray = at("stray", {});
  const world = { nowMs: 1_000_000, nodes: [stray, ...nodes], volumes: new Map() };
  const asked = { demands: demands(), spreadBy: "zone", wish: WISH };
  const namesOf = (found: readonly Found[]) =>
    found.map((it) => it.kind === "place" && world.nodes.find(({ id }) => id === it.node)?.name);

  expect(namesOf(findPlaces(world, asked, 7, []))).toEqual([
    "a-1",
    "b",
    "a-2",
    "b",
    "a-1",
    "a-2",
    "stray",
  ]);
  const why = (some: readonly NodeView[], spreadBy: string, taken: readonly NodeView[]) =>
    chosenOf(
      some,
      spreadOf(
        world.nodes,
        spreadBy,
        taken.map((it) => it.id),
      ),
    )?.why;
  const [first, second, other] = nodes as [NodeView, NodeView, NodeView];
  expect(why(nodes, "zone", [first])).toBe(
    "the one with zone=b, which has the fewest pods of the app (0)",
  );
  expect(why(nodes, "zone", [first, other, other])).toBe(
    "one with zone=a, which has the fewest pods of the app (1); of 2 such nodes the one with the fewest pods of the app",
  );
  expect(why([first, second], "zone", [])).toBe("the first of equals by name");
  expect(why([second, stray], "rack", [])).toBe(
    "none has a label rack: the first of equals by name",
  );
});
