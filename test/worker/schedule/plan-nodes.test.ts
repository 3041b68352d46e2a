import { expect, test } from "vitest";
import { PROTOCOL } from "../../../contract/node/skew.ts";
import type { NodeView } from "../../../contract/placement/node-view.ts";
import { type Change, planApp } from "../../../worker/schedule/plan.ts";
import type { PodView, ReleaseView, World } from "../../../worker/schedule/world.ts";
import { aNode, aPod, apply, aRelease, aWorld, type Laws, round } from "./world.ts";

/* What becomes of pods whose nodes are silent, drained or fenced. */

const WORKS: Laws = { fate: () => "ready" };
const NOW = 1_000_000;

/** Three nodes with a ready pod on each of the first `pods`. */
function aFleet(pods: number, overrides: Partial<ReleaseView> = {}) {
  const nodes = ["node-a", "node-b", "node-c"].map((name) => aNode({ name }));
  const [a, b, c] = nodes as [NodeView, NodeView, NodeView];
  const live = aRelease({ phase: "live", replicas: pods, ...overrides });
  const running = nodes.slice(0, pods).map((node) => aPod(live, node, { ready: true }));
  const world = aWorld({ nodes, releases: [live], pods: running });
  return { world, live, pods: running as [PodView, ...PodView[]], a, b, c };
}

function withNode(world: World, node: NodeView, change: Partial<NodeView>): World {
  const nodes = world.nodes.map((it) => (it.id === node.id ? { ...it, ...change } : it));
  return { ...world, nodes };
}

const LONG_SILENT = { seenAtMs: NOW - 400_000 };
const lose = (world: World, node: NodeView): World => ({
  ...withNode(world, node, LONG_SILENT),
  lost: new Set([node.id]),
});
const wanted = (world: World) => world.pods.filter((pod) => pod.wanted === "run");
const nodesOf = (world: World) => new Set(wanted(world).map((pod) => pod.node));
const readyOn = (world: World, silent: ReadonlySet<unknown>) =>
  wanted(world).filter((pod) => pod.seen?.status.ready && !silent.has(pod.node)).length;

test("the pods of a lost node are made anew elsewhere, and leave when those are ready", () => {
  const { world, a, live, pods } = aFleet(2);
  const silent = new Set([a.id]);
  const lost = lose(world, a);

  const first = round(lost, { ...WORKS, silent });
  const second = round(first.world, { ...WORKS, silent });

  expect(first.changes.map((it) => it.kind)).toEqual(["place"]);
  expect(second.changes).toEqual([{ kind: "remove", pod: pods[0].id, because: "node-lost" }]);
  expect(planApp(second.world)).toEqual([]);
  expect(wanted(second.world)).toHaveLength(live.replicas);
});

test("a node that comes back before others took over has lost nothing", () => {
  const { world, a } = aFleet(2);
  const placed = round(lose(world, a), { fate: () => undefined, silent: new Set([a.id]) }).world;

  const back = withNode({ ...placed, lost: new Set() }, a, { seenAtMs: placed.nowMs });
  const changes = planApp(back);

  expect(wanted(placed)).toHaveLength(3);
  const fresh = wanted(back).filter((pod) => !pod.seen);
  expect(changes).toEqual(
    fresh.map((pod) => ({ kind: "remove", pod: pod.id, because: "surplus" })),
  );
});

test("a node that is silent, but not given up, keeps its pods, also when there are too many", () => {
  const { world, a } = aFleet(2);
  const extra = round(lose(world, a), { ...WORKS, silent: new Set([a.id]) }).world;

  const held = planApp({ ...extra, lost: new Set() });

  expect(wanted(extra)).toHaveLength(3);
  expect(held).toEqual([]);
});

test("a lost node's pods that are over are not made anew", () => {
  const { world, a } = aFleet(2);
  const pods = world.pods.map((pod) => ({
    ...pod,
    seen: pod.seen && { ...pod.seen, status: { ...pod.seen.status, phase: "Succeeded" as const } },
  }));

  expect(planApp(lose({ ...world, pods }, a))).toEqual([]);
});

test("a drain moves one pod at a time, and never serves with fewer", () => {
  const { world: fleet, live, a, b } = aFleet(2);
  const crowd = { ...fleet, pods: fleet.pods.map((pod) => ({ ...pod, node: a.id })) };
  let world = withNode(crowd, a, { draining: true, cordoned: true });
  const changes: Change[] = [];

  for (let rounds = 0; rounds < 10; rounds++) {
    const after = round(world, WORKS);
    world = after.world;
    changes.push(...after.changes);
    expect(readyOn(world, new Set())).toBeGreaterThanOrEqual(live.replicas);
    expect(wanted(world).length).toBeLessThanOrEqual(live.replicas + 1);
  }

  expect(changes.map((it) => it.kind)).toEqual(["place", "remove", "place", "remove"]);
  expect(nodesOf(world).has(a.id)).toBe(false);
  expect(nodesOf(world).has(b.id)).toBe(true);
  expect(planApp(world)).toEqual([]);
});

test("a drain takes no ready pod away while what comes for it never works", () => {
  const { world: fleet, a, pods } = aFleet(1);
  let world = withNode(fleet, a, { draining: true });

  for (let rounds = 0; rounds < 10; rounds++)
    world = round(world, { fate: (pod) => (pod.id === pods[0].id ? "ready" : undefined) }).world;

  expect(wanted(world).map((pod) => pod.id)).toContain(pods[0].id);
});

test("a drain is not held up by a pod that has not worked for long anyway", () => {
  const { world: fleet, a, pods } = aFleet(2, { progressDeadlineMs: 60_000 });
  let world = withNode(fleet, a, { draining: true });

  for (let rounds = 0; rounds < 12; rounds++)
    world = round(world, { fate: (pod) => (pod.id === pods[1]?.id ? undefined : "ready") }).world;

  expect(nodesOf(world).has(a.id)).toBe(false);
  expect(wanted(world)).toHaveLength(2);
});

test("what was on a fenced node is made anew at once", () => {
  const { world, a, pods } = aFleet(1, { exclusive: true });

  const changes = planApp(withNode(world, a, { ...LONG_SILENT, fenced: true }));

  expect(changes).toMatchObject([
    { kind: "remove", pod: pods[0].id, because: "node-fenced" },
    { kind: "place" },
  ]);
});

test("a singleton on a lost node is not started elsewhere, and the words say what would help", () => {
  const { world, a } = aFleet(1, { exclusive: true });

  expect(planApp(lose(world, a))).toMatchObject([
    {
      kind: "hold",
      why: expect.stringMatching(
        /^pod shop-1-\w+ may still run on node node-a, which is silent since .*; it is started elsewhere once that node is fenced$/,
      ),
    },
  ]);
});

test("a drained singleton ends before it starts elsewhere, and stays where there is no room", () => {
  const { world, a, pods, live } = aFleet(1, { exclusive: true });
  const draining = withNode(world, a, { draining: true });
  const full = {
    ...draining,
    nodes: draining.nodes.map((it) => (it.id === a.id ? it : { ...it, cordoned: true })),
  };

  const first = round(draining, WORKS);
  const second = round(first.world, WORKS);
  const third = round(second.world, WORKS);

  expect(first.changes).toMatchObject([
    { kind: "remove", pod: pods[0].id, because: "node-drained" },
    { kind: "hold", why: expect.stringMatching(/has to end before another starts$/) },
  ]);
  expect(second.changes.map((it) => it.kind)).toEqual(["hold"]);
  expect(third.changes).toMatchObject([{ kind: "place", release: live.id }]);
  expect(planApp(full).map((it) => it.kind)).toEqual(["wait"]);
});

test("a singleton's new release starts when the old pod has ended, and not while its node is silent", () => {
  const { world, a, live } = aFleet(1, { exclusive: true });
  const next = aRelease({ number: 2, exclusive: true });
  const start = { ...world, releases: [live, next] };
  const kinds: string[][] = [];

  let now: World = start;
  for (let rounds = 0; rounds < 4; rounds++) {
    const after = round(now, WORKS);
    now = after.world;
    kinds.push(after.changes.map((it) => it.kind));
  }

  expect(kinds).toEqual([["roll", "remove", "hold"], ["hold"], ["place"], ["go-live", "retire"]]);
  const silent = withNode(start, a, { seenAtMs: NOW - 60_000 });
  expect(planApp(silent).map((it) => it.kind)).toEqual(["roll", "hold"]);
});

test.each<[string, Partial<NodeView>, RegExp]>([
  [
    "whose agent speaks another protocol",
    { protocol: PROTOCOL - 1 },
    /update Waybill on that host/,
  ],
  ["that is ahead of the database", { astray: "ahead" }, /has to be reconciled/],
])("a singleton on a node %s serves on: it could not be ended there", (_, said, why) => {
  const { world, a, live } = aFleet(1, { exclusive: true });
  const deaf = withNode(world, a, said);
  const next = aRelease({ number: 2, exclusive: true });

  const released = planApp({ ...deaf, releases: [live, next] });
  const drained = planApp(withNode(deaf, a, { draining: true }));

  for (const changes of [released, drained]) {
    expect(changes.filter((it) => it.kind === "remove")).toEqual([]);
    expect(changes).toContainEqual(
      expect.objectContaining({ kind: "hold", why: expect.stringMatching(why) }),
    );
  }
});

test("a singleton's new release that never works gives way to the one before it", () => {
  const { world, live } = aFleet(1, { exclusive: true });
  const next = aRelease({ number: 2, exclusive: true, progressDeadlineMs: 30_000 });
  let now: World = { ...world, releases: [live, next] };

  for (let rounds = 0; rounds < 12; rounds++) {
    const fate = (pod: PodView) => (pod.release === next.id ? undefined : ("ready" as const));
    now = round(now, { fate }).world;
    expect(now.pods.filter((pod) => pod.wanted === "run").length).toBeLessThanOrEqual(1);
  }

  expect(now.releases.map((it) => it.id)).toEqual([live.id]);
  expect(wanted(now)).toMatchObject([{ release: live.id, seen: { status: { ready: true } } }]);
});

test("a new pod of a rollout on a lost node is made anew, and the release is live with it", () => {
  const { world, a, live } = aFleet(1);
  const next = aRelease({ number: 2, phase: "rolling" });
  const fresh = aPod(next, a);
  const start = lose({ ...world, releases: [live, next], pods: [...world.pods, fresh] }, a);

  const first = round(start, { ...WORKS, silent: new Set([a.id]) });
  const second = round(first.world, { ...WORKS, silent: new Set([a.id]) });

  expect(first.changes).toMatchObject([
    { kind: "remove", pod: fresh.id, because: "node-lost" },
    { kind: "place", release: next.id },
  ]);
  expect(second.changes.map((it) => it.kind)).toContain("go-live");
});

test("of three new pods one that crashes ends its release, with the reason and its last words", () => {
  const { world, live, pods } = aFleet(3);
  const next = aRelease({ number: 2, phase: "rolling", replicas: 3 });
  const [a, b] = world.nodes as [NodeView, NodeView];
  const good = aPod(next, a, { ready: true });
  const container = { name: "app", kind: "main", state: "exited", ready: false } as const;
  const bad = aPod(next, b, {
    containers: [{ ...container, restarts: 4, exitCode: 1, probeFailures: [] }],
    logTail: ["no such table: orders"],
  });
  const start = { ...world, releases: [live, next], pods: [...pods.slice(1), good, bad] };

  const changes = planApp(start);

  expect(changes).toEqual([
    {
      kind: "fail",
      release: next.id,
      failure: {
        slug: "app-crashes",
        message: "the app ended 5 times by itself, the last time with exit code 1",
        log: ["no such table: orders"],
      },
    },
    { kind: "remove", pod: bad.id, because: "release-failed" },
  ]);
  let now = changes.reduce(apply, start);
  for (let rounds = 0; rounds < 4; rounds++) {
    now = round(now, WORKS).world;
    expect(readyOn(now, new Set())).toBeGreaterThanOrEqual(3);
  }
  expect(wanted(now).map((pod) => pod.release)).toEqual([live.id, live.id, live.id]);
});
