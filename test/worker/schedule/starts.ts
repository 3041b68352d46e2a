import fc from "fast-check";
import type { NodeId, PodId } from "../../../contract/ids.ts";
import type { NodeView } from "../../../contract/placement/node-view.ts";
import type { PodView, ReleaseView, World } from "../../../worker/schedule/world.ts";
import { aNode, aPod, aRelease, aWorld, type Fate, MIB } from "./world.ts";

/** What a pod that is there at the start is: `starting` turns out as new ones do, `stuck` never works. */
const CONDITIONS = ["ready", "starting", "stuck", "Succeeded", "Failed"] as const;
type Condition = (typeof CONDITIONS)[number];
/** Whose pods a release's pods are like. */
const LIKE = ["served", "overtaken", "none"] as const;

const LONG_AGO = 0;
const ROOMY = { cpuMillis: 64_000, memoryBytes: 65_536 * MIB, pods: 100 };
export const DEADLINE = { progressDeadlineMs: 60_000 };

export type Start = {
  readonly world: World;
  readonly served: ReleaseView;
  readonly target: ReleaseView;
  readonly conditions: ReadonlyMap<PodId, Condition>;
  readonly silent: ReadonlySet<NodeId>;
};

/** A live release with some pods, often one under way beside it, and a new one. */
export const starts = fc
  .record({
    replicas: fc.integer({ min: 0, max: 6 }),
    maxSurge: fc.integer({ min: 1, max: 3 }),
    nodes: fc.integer({ min: 1, max: 3 }),
    silent: fc.integer({ min: 0, max: 1 }),
    served: fc.array(fc.constantFrom(...CONDITIONS), { maxLength: 6 }),
    overtaken: fc.option(fc.array(fc.constantFrom(...CONDITIONS), { maxLength: 3 })),
    overtakenLike: fc.constantFrom("served", "none"),
    like: fc.constantFrom(...LIKE),
    newPods: fc.boolean(),
    settleMs: fc.constantFrom(0, 15_000),
  })
  .map((said): Start => {
    const nodes = Array.from({ length: said.nodes + said.silent }, (_, at) =>
      aNode({
        name: `node-${at}`,
        seenAtMs: at < said.nodes ? 1_000_000 : 900_000,
        allocatable: ROOMY,
      }),
    );
    const asLive = { number: 1, phase: "live", ...DEADLINE } as const;
    const served = aRelease({ ...asLive, replicas: said.served.length });
    const alike = said.overtakenLike === "served" ? { fingerprint: served.fingerprint } : {};
    const overtaken = aRelease({ number: 2, phase: "rolling", replicas: 3, ...alike, ...DEADLINE });
    const { fingerprint } = { served, overtaken, none: aRelease() }[said.like];
    const { replicas, maxSurge, newPods, settleMs } = said;
    const asked = { replicas, maxSurge, newPods, settleMs };
    const target = aRelease({ number: 3, ...asked, fingerprint, ...DEADLINE });
    const conditions = new Map<PodId, Condition>();
    const podsOf = (release: ReleaseView, all: readonly Condition[]) =>
      all.map((condition, at) => {
        const pod = startingPod(release, nodes[at % nodes.length] ?? aNode(), condition);
        conditions.set(pod.id, condition);
        return pod;
      });
    const world = aWorld({
      nodes,
      releases: [served, ...(said.overtaken ? [overtaken] : []), target],
      pods: [...podsOf(served, said.served), ...podsOf(overtaken, said.overtaken ?? [])],
    });
    const silent = new Set(nodes.slice(said.nodes).map((it) => it.id));
    return { world, served, target, conditions, silent };
  });

function startingPod(release: ReleaseView, node: NodeView, condition: Condition): PodView {
  const ready = condition === "ready";
  const phase = condition === "Succeeded" || condition === "Failed" ? condition : "Running";
  const pod = aPod(release, node, { ready, phase });
  return condition === "starting" ? pod : { ...pod, createdAtMs: LONG_AGO };
}

/**
 * The pods of the start are what they are; new ones of the target's kind, and those that were
 * starting, are as the mood says. What the release before is made of works as ever.
 */
export function fateOf({ conditions, target }: Start, mood: ReturnType<Fate>): Fate {
  return ({ id, fingerprint }) => {
    const condition = conditions.get(id) ?? "starting";
    if (condition === "starting") return fingerprint === target.fingerprint ? mood : "ready";
    return condition === "stuck" ? undefined : condition;
  };
}
