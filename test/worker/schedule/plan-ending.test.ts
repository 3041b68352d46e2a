import { expect, test } from "vitest";
import type { PodId } from "../../../contract/ids.ts";
import type { NodeView } from "../../../contract/placement/node-view.ts";
import { planApp } from "../../../worker/schedule/plan.ts";
import type { PodView, ReleaseView, World } from "../../../worker/schedule/world.ts";
import { aNode, aPod, aRelease, aWorld, type Fate, type Laws, round } from "./world.ts";

/* Pods that take long to end: others wait for them, and not for ever. */

const HOUR_MS = 3_600_000;
const TEN_MINUTES_MS = 600_000;

/** A live release with its pods, all on one node, and often a new one beside it. */
function aFleet(asked: Partial<ReleaseView>, node: Partial<NodeView> = {}) {
  const [a, b] = [aNode(node), aNode({ name: "node-b" })];
  const live = aRelease({ phase: "live", ...asked });
  const next = aRelease({ number: 2, ...asked });
  const pods = Array.from({ length: live.replicas }, () => aPod(live, a, { ready: true }));
  return { world: aWorld({ nodes: [a, b], releases: [live], pods }), live, next };
}

/** Lives on for an hour. A new pod is ready when its node looks for the third time. */
function live(start: World, laws: Partial<Laws>) {
  let world = start;
  const looks = new Map<PodId, number>();
  const fate: Fate = ({ id, createdAtMs }) => {
    looks.set(id, (looks.get(id) ?? 0) + 1);
    return createdAtMs === start.nowMs || (looks.get(id) ?? 0) > 2 ? "ready" : undefined;
  };
  let [most, fewestReady] = [0, Number.POSITIVE_INFINITY];
  while (world.nowMs < start.nowMs + HOUR_MS) {
    world = round(world, { fate, ...laws }).world;
    const wanted = world.pods.filter((pod) => pod.wanted === "run");
    most = Math.max(most, world.pods.length);
    fewestReady = Math.min(fewestReady, wanted.filter((it) => it.seen?.status.ready).length);
  }
  return { world, most, fewestReady };
}

test.each([false, true])(
  "pods that end later than the deadline hold a rollout up and do not fail it; exclusive: %s",
  (exclusive) => {
    const replicas = exclusive ? 1 : 3;
    const graceMs = TEN_MINUTES_MS;
    const asked = { replicas, exclusive, graceMs, progressDeadlineMs: 60_000 };
    const { world: start, live: before, next } = aFleet(asked);

    const { world, most, fewestReady } = live(
      { ...start, releases: [before, next] },
      { endsInMs: graceMs },
    );

    expect(world.releases.map((it) => [it.number, it.phase])).toEqual([[2, "live"]]);
    expect(world.pods.map((it) => [it.release, it.wanted])).toEqual(
      Array.from({ length: replicas }, () => [next.id, "run"]),
    );
    expect(most).toBe(exclusive ? 1 : 4);
    expect(fewestReady).toBe(exclusive ? 0 : 3);
  },
);

test("a pod that never ends holds up neither a rollout nor a drain for longer than its time", () => {
  const { world: start, live: before, next } = aFleet({ replicas: 2, graceMs: 30_000 });
  const never = { endsInMs: Number.POSITIVE_INFINITY };

  const rolled = live({ ...start, releases: [before, next] }, never).world;
  const drained = live(aFleet({ replicas: 2 }, { draining: true }).world, never).world;

  expect(rolled.releases.map((it) => [it.number, it.phase])).toEqual([[2, "live"]]);
  const staying = drained.pods.filter((pod) => pod.wanted === "run");
  expect(staying.map((pod) => pod.node)).toEqual([drained.nodes[1]?.id, drained.nodes[1]?.id]);
});

test("an exclusive pod that never ends fails the release that waits for it, and is named", () => {
  const asked = { exclusive: true, graceMs: 30_000, progressDeadlineMs: 60_000 };
  const { world: start, live: before, next } = aFleet(asked);
  const old = { ...start.pods[0], wanted: "gone", goneAtMs: start.nowMs } as PodView;
  const rolling = { ...next, phase: "rolling" } as const;
  const world = { ...start, releases: [before, rolling], pods: [old] };
  const after = (ms: number) => {
    const nowMs = start.nowMs + ms;
    const nodes = start.nodes.map((it) => ({ ...it, seenAtMs: nowMs }));
    return planApp({ ...world, nowMs, nodes });
  };

  expect(after(89_999)).toMatchObject([{ kind: "hold" }]);
  const words = `there was no room within 90 s: pod ${old.name}, which leaves, has not ended`;
  expect(after(90_000)).toMatchObject([{ kind: "fail", failure: { message: words } }]);
});

test("a drain has one pod more than asked for at once, and those count that are told to go just now", () => {
  const { world: start } = aFleet({ replicas: 3 }, { draining: true });

  const { world, most, fewestReady } = live(start, { endsInMs: 50_000 });

  expect(planApp(world)).toEqual([]);
  expect(most).toBe(4);
  expect(fewestReady).toBe(3);
});
