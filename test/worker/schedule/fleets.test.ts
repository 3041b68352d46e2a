import fc from "fast-check";
import { expect, test } from "vitest";
import type { NodeId } from "../../../contract/ids.ts";
import { withTenant } from "../../../contract/placement/filter.ts";
import type { NodeView } from "../../../contract/placement/node-view.ts";
import { type Change, planApp } from "../../../worker/schedule/plan.ts";
import type { PodView, ReleaseView, World } from "../../../worker/schedule/world.ts";
import { aNode, aPod, apply, aRelease, aWorld, demands, MIB } from "./world.ts";

/* Whole fleets that live: every app has a release that serves and gets another one, on nodes that are short of room. */

/** Only against a life without an end. */
const LONGEST_MS = 600_000;
const ROUNDS = 16;
const ROUND_MS = 10_000;
const DEADLINE_MS = 30_000;

const amounts = fc.record({
  cpuMillis: fc.integer({ min: 100, max: 2_000 }),
  memoryBytes: fc.integer({ min: 64, max: 2_048 }).map((it) => it * MIB),
});
const fleets = fc.record({
  nodes: fc.array(fc.tuple(amounts, fc.integer({ min: 1, max: 8 })), {
    minLength: 1,
    maxLength: 4,
  }),
  apps: fc.array(
    fc.record({
      before: fc.tuple(amounts, fc.integer({ min: 0, max: 3 })),
      after: fc.tuple(amounts, fc.integer({ min: 1, max: 3 })),
      maxSurge: fc.integer({ min: 1, max: 2 }),
    }),
    { minLength: 1, maxLength: 4 },
  ),
});

type Fleet = { readonly nodes: readonly NodeView[]; readonly apps: readonly World[] };
type Laws = { readonly newPodsWork: boolean; readonly asked: ReadonlyMap<string, ReleaseView> };

/** The nodes with all that is on them: an ending pod takes its room for one round more. */
function nodesOf({ nodes, apps }: Fleet, { asked }: Laws): readonly NodeView[] {
  const pods = apps.flatMap((it) => it.pods);
  const on = (id: NodeId) => pods.filter((pod) => pod.node === id);
  return nodes.map((node) =>
    on(node.id).reduce(
      (view, pod) =>
        withTenant(view, {
          pod: pod.id,
          demands: asked.get(pod.fingerprint)?.demands ?? demands(),
        }),
      node,
    ),
  );
}

function expectRoom(nodes: readonly NodeView[]): void {
  for (const { used, allocatable } of nodes) {
    expect(used.memoryBytes).toBeLessThanOrEqual(allocatable.memoryBytes);
    expect(used.cpuMillis).toBeLessThanOrEqual(allocatable.cpuMillis);
    expect(used.pods).toBeLessThanOrEqual(allocatable.pods);
  }
}

/** One round of one app: its agents tell, its plan is carried out, and all others stay as they are. */
function lives(fleet: Fleet, at: number, laws: Laws, nowMs: number) {
  const app = fleet.apps[at] as World;
  const ready = (pod: PodView) => laws.newPodsWork || laws.asked.get(pod.fingerprint)?.number === 1;
  const told = (pod: PodView): PodView => {
    const isReady = ready(pod);
    const status = { ...aPod(laws.asked.get(pod.fingerprint) ?? aRelease(), aNode()).seen };
    if (!status.status) return pod;
    const same = pod.seen?.status.ready === isReady;
    return {
      ...pod,
      seen: {
        status: { ...status.status, pod: pod.id, ready: isReady },
        sinceMs: same ? (pod.seen?.sinceMs ?? nowMs) : nowMs,
      },
    };
  };
  const pods = app.pods.filter((pod) => pod.wanted === "run").map(told);
  const seen = { ...fleet, apps: fleet.apps.with(at, { ...app, pods }) };
  const world = { ...app, nowMs, pods, nodes: nodesOf(seen, laws) };
  const changes = planApp(world);
  const after = { ...changes.reduce(apply, world), nodes: [] };
  return { fleet: { ...fleet, apps: fleet.apps.with(at, after) }, changes };
}

const isServing = (pod: PodView) => pod.wanted === "run" && pod.seen?.status.ready === true;

test.each([
  ["work", true],
  ["never become healthy", false],
])(
  "in a thousand fleets in which new pods %s, all stays within bounds and settles",
  (_, newPodsWork) => {
    fc.assert(
      fc.property(fleets, (said) => {
        const asked = new Map<string, ReleaseView>();
        const release = (
          number: number,
          [amounts, replicas]: [object, number],
          maxSurge: number,
        ) => {
          const requests = { cpuMillis: 0, memoryBytes: 0, ...amounts, pods: 1 };
          const times = { progressDeadlineMs: DEADLINE_MS, phaseAtMs: 0 };
          const it = aRelease({
            number,
            replicas,
            maxSurge,
            ...times,
            demands: demands({ requests }),
          });
          asked.set(it.fingerprint, it);
          return it;
        };
        const nodes = said.nodes.map(([offered, pods], at) =>
          aNode({ name: `node-${at}`, seenAtMs: 1e9, allocatable: { ...offered, pods } }),
        );
        const laws = { newPodsWork, asked };
        const releases = said.apps.map((it) => [
          release(1, it.before, it.maxSurge),
          release(2, it.after, it.maxSurge),
        ]) as [ReleaseView, ReleaseView][];
        let fleet: Fleet = {
          nodes,
          apps: releases.map(([first]) =>
            aWorld({ nodes: [], releases: [{ ...first, phase: "live" }] }),
          ),
        };
        let changes: readonly Change[] = [];
        for (let round = 0; round < ROUNDS; round++) {
          if (round === 3)
            fleet = {
              ...fleet,
              apps: fleet.apps.map((app, at) => ({
                ...app,
                releases: [...app.releases, releases[at]?.[1] as ReleaseView],
              })),
            };
          for (const at of fleet.apps.keys()) {
            const before = fleet.apps[at] as World;
            const turn = lives(fleet, at, laws, 1_000_000 + round * ROUND_MS);
            fleet = turn.fleet;
            changes = round === ROUNDS - 1 ? turn.changes : changes;
            expectRoom(nodesOf(fleet, laws));
            if (round < ROUNDS - 1) {
              const floor = Math.min(
                before.pods.filter(isServing).length,
                ...before.releases.map((it) => it.replicas),
              );
              // Where there is no room beside them, what serves is exchanged one by one.
              const isCrowded = turn.changes.some((it) => it.kind === "wait");
              const serving = (fleet.apps[at] as World).pods.filter(isServing).length;
              expect(serving).toBeGreaterThanOrEqual(isCrowded ? Math.min(1, floor) : floor);
            } else expect(turn.changes.filter((it) => it.kind !== "wait")).toEqual([]);
          }
        }
      }),
      { numRuns: 1_000 },
    );
  },
  LONGEST_MS,
);
