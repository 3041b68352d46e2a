import { expect, test } from "vitest";
import { withTenant } from "../../../contract/placement/filter.ts";
import type { NodeView } from "../../../contract/placement/node-view.ts";
import { type Change, planApp } from "../../../worker/schedule/plan.ts";
import type { PodView, World } from "../../../worker/schedule/world.ts";
import { aNode, aPod, aRelease, aWorld, demands, round } from "./world.ts";

/* What becomes of the pods that a failed release leaves: they may be all that serves. */

const NOW = 1_000_000;
const SILENT = { seenAtMs: NOW - 60_000 };
const DEADLINE_MS = 60_000;

const podsGone = (changes: readonly Change[]) =>
  changes.flatMap((it) => (it.kind === "remove" ? [it.pod] : []));

/** A rollout of three that exchanged two pods, and then got no further. */
function aHalfway(node: Partial<NodeView> = {}) {
  const nodes = ["node-a", "node-b", "node-c"].map((name) => aNode({ name, ...node }));
  const [a, b, c] = nodes as [NodeView, NodeView, NodeView];
  const live = aRelease({ number: 1, phase: "live", replicas: 3 });
  const times = { phaseAtMs: NOW - DEADLINE_MS, progressDeadlineMs: DEADLINE_MS };
  const next = aRelease({ number: 2, phase: "rolling", replicas: 3, ...times });
  const long = (pod: PodView): PodView => ({
    ...pod,
    createdAtMs: NOW - 2 * DEADLINE_MS,
    seen: pod.seen && { ...pod.seen, sinceMs: NOW - 2 * DEADLINE_MS },
  });
  const left = [aPod(next, a, { ready: true }), aPod(next, b, { ready: true })].map(long);
  const pods = [aPod(live, c, { ready: true }), ...left, aPod(next, c)].map(long);
  return { world: aWorld({ nodes, releases: [live, next], pods }), live, next, left, a, b, c };
}

test("silence fails a release, and takes none of its pods away that serve", () => {
  const { world, next, left } = aHalfway(SILENT);
  const bad = world.pods.at(-1) as PodView;

  const changes = planApp(world);

  expect(changes).toMatchObject([{ kind: "fail", release: next.id }, { kind: "remove" }]);
  expect(podsGone(changes)).toEqual([bad.id]);
  const after = { ...world, releases: world.releases.slice(0, 1), pods: world.pods.slice(0, 3) };
  expect(podsGone(planApp(after))).toEqual([]);
  expect(podsGone(planApp({ ...after, lost: new Set(left.map((it) => it.node)) }))).toEqual([]);
});

test("the way back is a rollout as any other: no more pods at once than the surge allows", () => {
  const { world: start, live, next } = aHalfway();
  let world: World = start;
  let most = 0;

  for (let rounds = 0; rounds < 12; rounds++) {
    const failed = world.releases.some((it) => it.id === next.id);
    world = round(world, {
      fate: (pod) => (failed && !pod.seen?.status.ready ? undefined : "ready"),
    }).world;
    const wanted = world.pods.filter((pod) => pod.wanted === "run");
    most = Math.max(most, wanted.length);
    expect(wanted.filter((pod) => pod.seen?.status.ready).length).toBeGreaterThanOrEqual(3);
  }

  expect(most).toBe(live.replicas + live.maxSurge);
  expect(world.pods.map((pod) => pod.release)).toEqual([live.id, live.id, live.id]);
  expect(planApp(world)).toEqual([]);
});

test("what serves goes for want of room, and not while a silent node may come back with some", () => {
  const { requests } = demands();
  const small = { allocatable: { ...requests, memoryBytes: requests.memoryBytes } };
  const [a, b] = [aNode(small), aNode({ name: "node-b", ...small })];
  const live = aRelease({ number: 1, phase: "live", replicas: 2 });
  const failed = aRelease({ number: 2 });
  const [kept, left] = [aPod(live, a, { ready: true }), aPod(failed, b, { ready: true })];
  const full = (node: NodeView, pod: PodView) =>
    withTenant(node, { pod: pod.id, demands: demands() });
  const nodes = [full(a, kept), full(b, left)];
  const world = aWorld({ nodes, releases: [live], pods: [kept, left] });
  const silent = aNode({ name: "node-c", ...SILENT });

  expect(podsGone(planApp(world))).toEqual([left.id]);
  expect(podsGone(planApp({ ...world, nodes: [...nodes, silent] }))).toEqual([]);
  const given = { ...world, nodes: [...nodes, silent], lost: new Set([silent.id]) };
  expect(podsGone(planApp(given))).toEqual([left.id]);
  const cordoned = nodes.map((it) => ({ ...it, cordoned: true }));
  expect(podsGone(planApp({ ...world, nodes: cordoned }))).toEqual([]);
});

test("for want of room no more goes while a pod that was made in its place may become ready", () => {
  const { requests } = demands();
  const small = { allocatable: { ...requests, memoryBytes: requests.memoryBytes } };
  const nodes = ["node-a", "node-b"].map((name) => aNode({ name, ...small }));
  const [a, b] = nodes as [NodeView, NodeView];
  const drained = aNode({ name: "node-c", draining: true });
  const live = aRelease({ number: 1, phase: "live", replicas: 3, maxSurge: 2 });
  const left = [a, drained].map((it) => aPod(aRelease({ number: 2 }), it, { ready: true }));
  const own = aPod(live, drained, { ready: true });
  const coming = aPod(live, b);
  const pods = [own, ...left, coming];
  const full = nodes.map((node) =>
    pods
      .filter((pod) => pod.node === node.id)
      .reduce((it, pod) => withTenant(it, { pod: pod.id, demands: demands() }), node),
  );
  const world = aWorld({ nodes: [...full, drained], releases: [live], pods });

  expect(podsGone(planApp(world))).toEqual([]);
  const works = { ...coming, seen: own.seen };
  const last = { ...world, pods: [own, works, ...left.slice(0, 1)] };
  expect(podsGone(planApp(last))).toEqual([left[0]?.id]);
});

test("a pod that its node has not been told of is not one that had its time", () => {
  const { world, live, left } = aHalfway();
  const [own] = world.pods as [PodView];
  const unseen = { ...aPod(live, aNode()), node: own.node, createdAtMs: 0, seen: undefined };
  const pods = [own, { ...unseen }, ...left];

  const changes = planApp({ ...world, releases: [{ ...live, progressDeadlineMs: 1 }], pods });

  expect(podsGone(changes)).toEqual([]);
});

test("the only release takes with it what others before it have left", () => {
  const node = aNode();
  const [first, last] = [aRelease(), aRelease({ number: 2, phase: "rolling", phaseAtMs: 0 })];
  const pods = [aPod(first, node), aPod(last, node)];

  const changes = planApp(aWorld({ nodes: [node], releases: [last], pods }));

  expect(changes.map((it) => it.kind)).toEqual(["fail", "remove", "remove"]);
});

test("a release whose spec is refused ends in words, and a live one of that kind is left as it runs", () => {
  const [a, b] = [aNode(), aNode({ name: "node-b", draining: true })];
  const refused = "spec.hostNetwork: not allowed";
  const live = aRelease({ phase: "live", replicas: 3, refused });
  const next = aRelease({ number: 2, refused });
  const good = aRelease({ number: 2, replicas: 3 });
  const pods = [aPod(live, a, { ready: true }), aPod(live, b, { ready: true })];
  const start = aWorld({ nodes: [a, b], releases: [live], pods });

  expect(planApp({ ...start, releases: [live, next] })).toEqual([
    { kind: "fail", release: next.id, failure: { slug: "spec-refused", message: WORDS, log: [] } },
  ]);
  expect(planApp(start)).toEqual([{ kind: "wait", release: live.id, why: WORDS }]);
  let world: World = { ...start, nodes: [a], releases: [live, good] };
  for (let rounds = 0; rounds < 10; rounds++) {
    world = round(world, { fate: () => "ready" }).world;
    expect(world.pods.filter((pod) => pod.seen?.status.ready).length).toBeGreaterThanOrEqual(2);
  }
  expect(world.releases.map((it) => [it.number, it.phase])).toEqual([[2, "live"]]);
  expect(world.pods).toHaveLength(3);
});

test("what serves is not taken away for a release of which no pod can be made", () => {
  const { world, live } = aHalfway();
  const pods = world.pods.slice(0, 3);
  const nodes = world.nodes.map((node) =>
    pods
      .filter((pod) => pod.node === node.id)
      .reduce((it, pod) => withTenant(it, { pod: pod.id, demands: demands() }), node),
  );
  const releases = [{ ...live, refused: "spec.hostNetwork: not allowed" }];

  expect(planApp({ ...world, nodes, releases, pods })).toEqual([
    { kind: "wait", release: live.id, why: WORDS },
  ]);
});

const WORDS =
  "its spec is not accepted any more (spec.hostNetwork: not allowed); declare the app anew";
