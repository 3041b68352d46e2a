import fc from "fast-check";
import { expect, test } from "vitest";
import { withTenant } from "../../../contract/placement/filter.ts";
import { type Change, planApp } from "../../../worker/schedule/plan.ts";
import type { PodView, World } from "../../../worker/schedule/world.ts";
import { fateOf, starts } from "./starts.ts";
import { aNode, aPod, apply, aRelease, aWorld, demands, type Laws, round } from "./world.ts";

/* `rollout.autoRevert: false`: what becomes of the pods of a release that failed, and of those that serve. */

const NOW = 1_000_000;
const DEADLINE_MS = 60_000;
const LATE = { phaseAtMs: NOW - DEADLINE_MS, progressDeadlineMs: DEADLINE_MS };

const isReady = (pod: PodView) => pod.seen?.status.ready === true;
const wantedOf = (world: World) => world.pods.filter((it) => it.wanted === "run");
const idsOf = (pods: readonly PodView[]) => pods.map((it) => it.id).toSorted();
const kindsOf = (changes: readonly Change[]) => changes.map((it) => it.kind);
const after = (world: World) => planApp(world).reduce(apply, world);
const old = (pod: PodView): PodView => ({
  ...pod,
  createdAtMs: 0,
  seen: pod.seen && { ...pod.seen, sinceMs: NOW - DEADLINE_MS },
});

/** A rollout of three that exchanged one pod, got no further, and is out of time. */
function aHalfway(said: Partial<Parameters<typeof aRelease>[0]> = {}) {
  const [a, b] = [aNode(), aNode({ name: "node-b" })];
  const live = aRelease({ number: 1, phase: "live", replicas: 3, ...said });
  const asked = { replicas: 3, autoRevert: false, ...LATE, ...said };
  const next = aRelease({ number: 2, phase: "rolling", ...asked });
  const serving = [a, b].map((it) => old(aPod(live, it, { ready: true })));
  const [good, bad] = [old(aPod(next, b, { ready: true })), old(aPod(next, a))];
  const pods = [...serving, good, bad];
  const world = aWorld({ nodes: [a, b], releases: [live, next], pods });
  return { world, a, b, live, next, serving, good, bad };
}

test("a release that fails leaves all as it stands, and nothing is made or taken away", () => {
  const { world, next, bad } = aHalfway();

  expect(planApp(world)).toMatchObject([{ kind: "fail", release: next.id }]);
  const failed = after(world);
  expect(failed.held).toBe(next.id);
  expect(idsOf(wantedOf(failed))).toEqual(idsOf(world.pods));
  expect(planApp(failed)).toEqual([]);
  expect(planApp({ ...failed, held: undefined })).toMatchObject([{ kind: "remove", pod: bad.id }]);
});

test("one of the held that serves no longer is made up for by the release that is live, and comes back beside it", () => {
  const { world, live, good } = aHalfway();
  const failed = after(world);
  const without = (pods: World["pods"]): World["pods"] =>
    pods.map((it) => (it.id === good.id ? { ...it, seen: undefined } : it));

  const short = { ...failed, pods: without(failed.pods) };
  const changes = planApp(short);
  const whole = changes.reduce(apply, short);
  const ready = { ...whole, pods: whole.pods.map((it) => (it.id === good.id ? good : it)) };

  expect(changes).toMatchObject([{ kind: "place", release: live.id }]);
  expect(planApp(ready)).toEqual([]);
});

test("the next release takes their place as that of any other", () => {
  const { world, next } = aHalfway();
  const fixed = aRelease({ number: 3, replicas: 3 });
  const failed = after(world);
  let now: World = { ...failed, releases: [...failed.releases, fixed], held: undefined };
  let fewest = Number.POSITIVE_INFINITY;

  for (let rounds = 0; rounds < 15; rounds++) {
    const fate: Laws["fate"] = (it) =>
      it.release === next.id && !isReady(it) ? undefined : "ready";
    now = round(now, { fate }).world;
    fewest = Math.min(fewest, wantedOf(now).filter(isReady).length);
  }

  expect(wantedOf(now).map((it) => it.release)).toEqual([fixed.id, fixed.id, fixed.id]);
  expect(fewest).toBe(3);
  expect(planApp(now)).toEqual([]);
});

test("without a release before it, its pods are all that there is, and stay", () => {
  const node = aNode();
  const only = aRelease({ phase: "rolling", autoRevert: false, ...LATE });
  const world = aWorld({ nodes: [node], releases: [only], pods: [old(aPod(only, node))] });

  expect(kindsOf(planApp(world))).toEqual(["fail"]);
  expect(planApp(after(world))).toEqual([]);
  expect(kindsOf(planApp({ ...after(world), appDeleted: true }))).toEqual(["remove"]);
});

test.each([
  ["drained", { draining: true }],
  ["fenced", { fenced: true }],
  ["lost", {}],
])("one whose node is %s goes, and is made nowhere else", (what, said) => {
  const { world, a, next, serving, bad } = aHalfway();
  const failed = { ...after(world), pods: [serving[1], bad].filter((it) => it !== undefined) };
  const nodes = failed.nodes.map((it) => (it.id === a.id ? { ...it, ...said } : it));
  const lost = new Set(what === "lost" ? [a.id] : []);
  const live = failed.releases.map((it) => ({ ...it, replicas: 1 }));

  const changes = planApp({ ...failed, nodes, lost, releases: live });
  const alone = planApp({ ...failed, nodes, lost, releases: [], pods: [bad] });

  const gone = [{ kind: "remove", pod: bad.id, because: `node-${what}` }];
  expect(changes).toMatchObject(gone);
  expect(alone).toMatchObject(gone);
  expect(next.id).toBe(failed.held);
});

test("where they cannot stand beside what served before, that comes back and they go", () => {
  const exclusive = aRelease({ phase: "live", exclusive: true });
  const node = aNode();
  const asked = { exclusive: true, autoRevert: false, ...LATE };
  const next = aRelease({ number: 2, phase: "rolling", ...asked });
  const start = aWorld({
    nodes: [node],
    releases: [exclusive, next],
    pods: [old(aPod(next, node))],
  });

  expect(kindsOf(planApp(start))).toEqual(["fail", "remove"]);
  expect(kindsOf(planApp(after(start)))).toEqual(["hold"]);
});

test("one that serves nothing goes where what is live has no room beside it, and one that serves does not", () => {
  const port = demands({ hostPorts: ["8443/TCP"] });
  const { world, a, b, bad, good } = aHalfway({ demands: port, replicas: 2 });
  const on = (node: typeof a, pods: readonly PodView[]) =>
    pods.reduce((it, pod) => withTenant(it, { pod: pod.id, demands: port }), node);
  const failed = after(world);
  const crowded = { ...failed, nodes: [on(a, [bad]), on(b, [good])], pods: [bad, good] };

  const changes = planApp(crowded);

  expect(changes).toMatchObject([{ kind: "remove", pod: bad.id }, { kind: "wait" }]);
  const gone = { ...crowded, nodes: [a, on(b, [good])], pods: [good] };
  expect(planApp(gone)).toMatchObject([{ kind: "place", node: a.id }]);
});

test("whatever stood before, a bad release takes none away that serves, and its own stay", () => {
  fc.assert(
    fc.property(starts, (start) => {
      const { served, target } = start;
      const kept = { ...target, autoRevert: false };
      const releases = start.world.releases.map((it) => (it.id === target.id ? kept : it));
      let world: World = { ...start.world, releases };
      const servedReady = world.pods.filter((it) => it.release === served.id && isReady(it)).length;
      let heldAtFirst: readonly PodView[] | undefined;
      for (let rounds = 0; rounds < 40; rounds++) {
        world = round(world, { fate: fateOf(start, undefined), silent: start.silent }).world;
        if (world.held) heldAtFirst ??= wantedOf(world).filter((it) => it.release === target.id);
      }

      expect(planApp(world).filter((it) => it.kind !== "wait")).toEqual([]);
      if (!world.held || !heldAtFirst) return;
      expect(idsOf(wantedOf(world))).toEqual(expect.arrayContaining(idsOf(heldAtFirst)));
      const ready = wantedOf(world).filter(isReady).length;
      expect(ready).toBeGreaterThanOrEqual(Math.min(servedReady, served.replicas));
      const live = wantedOf(world).filter((it) => it.release !== target.id);
      if (start.silent.size === 0) expect(live.length).toBeLessThanOrEqual(served.replicas);
    }),
    { numRuns: 300 },
  );
});
