import fc from "fast-check";
import { expect, test } from "vitest";
import { type Change, planApp } from "../../../worker/schedule/plan.ts";
import type { PodView, ReleaseView, World } from "../../../worker/schedule/world.ts";
import { DEADLINE, fateOf, type Start, starts } from "./starts.ts";
import {
  aNode,
  aPod,
  aRelease,
  aWorld,
  demands,
  type Fate,
  type Laws,
  MIB,
  round,
} from "./world.ts";

/*
 * Small worlds that do what the plan says, from thousands of random starts, in two moods: new pods
 * work, and new pods never do.
 */

const isReady = (pod: PodView) => pod.seen?.status.ready === true;

/** Lives through 50 rounds, or until nothing moves, and tells what there was at the most and at the least. */
function live(start: World, laws: Laws) {
  let world = start;
  let fewestReady = Number.POSITIVE_INFINITY;
  let mostPods = 0;
  const changes: Change[] = [];
  for (let rounds = 0; rounds < 50; rounds++) {
    const after = round(world, laws);
    world = after.world;
    const wanted = wantedPods(world);
    changes.push(...after.changes);
    expectOneWordAPod(after.changes);
    fewestReady = Math.min(fewestReady, wanted.filter(isReady).length);
    mostPods = Math.max(mostPods, running(world, laws).length);
    const ended = running(world, laws).length === wanted.length;
    const settled =
      ended && wanted.every((pod) => world.releases.some((it) => it.id === pod.release));
    if (settled && after.changes.length === 0 && world.releases.every((it) => it.phase === "live"))
      break;
  }
  return { world, wanted: wantedPods(world), fewestReady, mostPods, changes };
}

function wantedPods(world: World): readonly PodView[] {
  return world.pods.filter((pod) => pod.wanted === "run");
}

/** Those that are wanted, and those that are ending; of what silent nodes end nobody hears. */
function running({ pods }: World, { silent }: Laws): readonly PodView[] {
  return pods.filter((pod) => pod.wanted === "run" || !silent?.has(pod.node));
}

function expectOneWordAPod(changes: readonly Change[]) {
  const named = changes.flatMap((it) => ("pod" in it ? [it.pod] : []));
  if (new Set(named).size < named.length) throw new Error("the plan says two things about a pod");
}

const RUNS = { numRuns: 1_500 };

test("where new pods work, every rollout ends live, serves throughout and settles", () => {
  fc.assert(
    fc.property(starts, (start) => {
      const { target, world: before } = start;
      const laws = { fate: fateOf(start, "ready"), silent: start.silent };
      const startReady = before.pods.filter(isReady).length;

      const { world, wanted, fewestReady, mostPods } = live(before, laws);

      expect(world.releases.map((it) => [it.id, it.phase])).toEqual([[target.id, "live"]]);
      expect(wanted).toHaveLength(target.replicas);
      expect(wanted.every((it) => it.release === target.id)).toBe(true);
      expect(wanted.every((it) => it.fingerprint === target.fingerprint)).toBe(true);
      expect(fewestReady).toBeGreaterThanOrEqual(
        Math.min(startReady, target.replicas - succeeded(wanted)),
      );
      const limit = Math.max(before.pods.length, target.replicas) + target.maxSurge;
      expect(mostPods).toBeLessThanOrEqual(limit);
      expect(planApp(world)).toEqual([]);
    }),
    RUNS,
  );
});

test("what the new release asks for already runs on, unless it asks for new pods", () => {
  fc.assert(
    fc.property(starts, fc.constantFrom("ready" as const, undefined), (start, mood) => {
      const { target, world: before, silent } = start;
      const equal = before.pods.filter(
        (it) => it.fingerprint === target.fingerprint && isReady(it) && !silent.has(it.node),
      );

      const { wanted, world } = live(before, { fate: fateOf(start, mood), silent });

      const kept = wanted.filter((it) => it.release === target.id);
      const old = kept.filter((it) => start.conditions.has(it.id));
      // One that failed may have left some that serve, while others are on silent nodes.
      const isLive = world.releases.some((it) => it.id === target.id);
      if (target.newPods) expect(old).toEqual([]);
      else if (isLive && kept.length > 0)
        expect(old.length).toBeGreaterThanOrEqual(Math.min(equal.length, target.replicas));
    }),
    RUNS,
  );
});

test("where new pods never work, the old release serves on with all it had", () => {
  fc.assert(
    fc.property(starts, (start) => {
      const { served, target, world: before } = start;
      const laws = { fate: fateOf(start, undefined), silent: start.silent };
      const servedReady = before.pods.filter((it) => it.release === served.id && isReady(it));
      const startReady = before.pods.filter(isReady).length;

      const { world, wanted, fewestReady, changes } = live(before, laws);

      expect(planApp(world).filter((it) => it.kind !== "wait")).toEqual([]);
      if (changes.some((it) => it.kind === "go-live")) return;
      expect(world.releases.map((it) => it.id)).toEqual([served.id]);
      expectOnlyPodsOf(served, wanted, start);
      expect(wanted.filter(isReady).length).toBeGreaterThanOrEqual(servedReady.length);
      expect(fewestReady).toBeGreaterThanOrEqual(
        Math.min(startReady, servedReady.length, target.replicas),
      );
      if (before.releases.length === 2) expect(idsOf(wanted)).toEqual(idsOf(before.pods));
    }),
    RUNS,
  );
});

test("a job's release is live when its pods have succeeded, and they are not run again", () => {
  fc.assert(
    fc.property(starts, (start) => {
      const laws = { fate: fateOf(start, "Succeeded"), silent: start.silent };

      const { world, changes } = live(start.world, laws);

      expect(world.releases.map((it) => it.id)).toEqual([start.target.id]);
      const placed = changes.filter((it) => it.kind === "place").length;
      expect(placed).toBeLessThanOrEqual(start.target.replicas);
      expect(planApp(world)).toEqual([]);
    }),
    RUNS,
  );
});

test("pods that fail for good fail their release, and are shown and left where it is live", () => {
  fc.assert(
    fc.property(starts, (start) => {
      const laws = { fate: fateOf(start, "Failed"), silent: start.silent };

      const { world, wanted, changes } = live(start.world, laws);

      const [last] = world.releases;
      if (last) expectOnlyPodsOf(last, wanted, start);
      expect(planApp(world)).toEqual([]);
      if (changes.every((it) => it.kind !== "go-live")) expect(last?.id).toBe(start.served.id);
    }),
    RUNS,
  );
});

/** What a failed release left serves on while some of the live one's may come back with their node. */
function expectOnlyPodsOf(release: ReleaseView, wanted: readonly PodView[], { silent }: Start) {
  const own = wanted.filter((it) => it.release === release.id);
  expect(wanted.length).toBeGreaterThanOrEqual(release.replicas);
  if (wanted.some((it) => silent.has(it.node))) return;
  expect(wanted).toEqual(own);
  expect(own).toHaveLength(release.replicas);
}

function succeeded(pods: readonly PodView[]): number {
  return pods.filter((it) => it.seen?.status.phase === "Succeeded").length;
}

function idsOf(pods: readonly PodView[]): readonly string[] {
  return pods.map((it) => it.id).toSorted();
}

const PORT = demands({ hostPorts: ["8443/TCP"] });

/** As many nodes as pods, each pod with a host port, and a new release that asks for the same one. */
const crowded = fc.integer({ min: 1, max: 4 }).map((count) => {
  const nodes = Array.from({ length: count }, (_, at) => aNode({ name: `node-${at}` }));
  const [served, target] = [1, 2].map((number) =>
    aRelease({
      number,
      replicas: count,
      demands: PORT,
      ...DEADLINE,
      phase: number === 1 ? "live" : "built",
    }),
  ) as [ReleaseView, ReleaseView];
  const pods = nodes.map((node) => aPod(served, node, { ready: true }));
  const laws = new Map([served, target].map((it) => [it.fingerprint, PORT]));
  return { world: aWorld({ nodes, releases: [served, target], pods }), served, target, laws };
});

test("pods that hold one port of each node are exchanged one by one", () => {
  fc.assert(
    fc.property(crowded, ({ world: start, target, laws }) => {
      const { world, wanted, fewestReady } = live(start, { fate: () => "ready", demands: laws });

      expect(world.releases.map((it) => it.id)).toEqual([target.id]);
      expect(wanted).toHaveLength(target.replicas);
      expect(fewestReady).toBe(target.replicas - 1);
      expect(planApp(world)).toEqual([]);
    }),
  );
});

test("where the new ones of such pods never work, the old ones come back", () => {
  fc.assert(
    fc.property(crowded, ({ world: start, served, laws }) => {
      const fate: Fate = (pod) => (pod.fingerprint === served.fingerprint ? "ready" : undefined);

      const { world, wanted, fewestReady } = live(start, { fate, demands: laws });

      expect(world.releases.map((it) => it.id)).toEqual([served.id]);
      expect(wanted.filter(isReady)).toHaveLength(served.replicas);
      expect(fewestReady).toBe(served.replicas - 1);
      expect(planApp(world)).toEqual([]);
    }),
  );
});

test.each([
  ["none of them ready", false],
  ["all of them ready", true],
])("a push during a rollout is not held up by the pods of what it overtakes: %s", (_, ready) => {
  const node = aNode();
  const served = aRelease({ number: 1, phase: "live" });
  const overtaken = aRelease({ number: 2, phase: "rolling" });
  const newest = aRelease({ number: 3 });
  const servedPod = aPod(served, node, { ready: true });
  const overtakenPod = aPod(overtaken, node, { ready });
  const start = aWorld({
    releases: [served, overtaken, newest],
    nodes: [node],
    pods: [servedPod, overtakenPod],
  });

  const { world, fewestReady, mostPods } = live(start, {
    fate: (pod) => (pod.id === overtakenPod.id && !ready ? undefined : "ready"),
  });

  expect(world.releases.map((it) => [it.id, it.phase])).toEqual([[newest.id, "live"]]);
  expect(fewestReady).toBe(1);
  expect(mostPods).toBe(2);
});

test("a push into nothing but unready pods of what it overtakes is rolled out", () => {
  const node = aNode();
  const releases = [1, 2, 3].map((number) =>
    aRelease({ number, phase: number < 3 ? "rolling" : "built" }),
  );
  const stuck = releases.slice(0, 2).map((release) => aPod(release, node));

  const { world } = live(aWorld({ releases, nodes: [node], pods: stuck }), {
    fate: (pod) => (stuck.some((it) => it.id === pod.id) ? undefined : "ready"),
  });

  expect(world.releases.map((it) => [it.number, it.phase])).toEqual([[3, "live"]]);
});

test("no node ever holds more than it can", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 30 }),
      fc.integer({ min: 1, max: 4 }),
      (replicas, count) => {
        const nodes = Array.from({ length: count }, (_, at) =>
          aNode({
            name: `node-${at}`,
            allocatable: { cpuMillis: 2_000, memoryBytes: 2_048 * MIB, pods: 5 },
          }),
        );
        const start = aWorld({ releases: [aRelease({ replicas })], nodes });

        const { wanted } = live(start, { fate: () => "ready" });

        for (const node of nodes)
          expect(wanted.filter((pod) => pod.node === node.id).length).toBeLessThanOrEqual(4);
      },
    ),
  );
});
