import { type Verdict, verdictOn } from "./filter.ts";
import { beginnings } from "./neighbours.ts";
import type { Asked, NodeView, Surroundings } from "./node-view.ts";

export type Judged = { readonly node: NodeView; readonly verdict: Verdict };

/** What each node says to one more pod of one kind, in the order of the nodes. */
export type Judge = (around: Surroundings) => readonly Judged[];

/**
 * For whoever asks time and again in surroundings that differ little, as with one pod more or less: nodes are
 * values, and one that is the same as before is asked anew only where the time, the volumes or what the pod
 * may be the first of are others.
 */
export function judgeOf(asked: Asked): Judge {
  let known = new Map<NodeView, Judged>();
  let last: Rest | undefined;
  return (around) => {
    const beginning = beginnings(asked.demands, around.nodes);
    const { nowMs, volumes } = around;
    const rest = { nowMs, volumes, beginning };
    if (!last || !isAlike(last, rest)) known = new Map();
    last = rest;
    return around.nodes.map((node) => {
      const before = known.get(node);
      if (before) return before;
      const judged = { node, verdict: verdictOn(node, asked, around, beginning) };
      known.set(node, judged);
      return judged;
    });
  };
}

/** What a verdict depends on beside the pod and the node. */
type Rest = Pick<Surroundings, "nowMs" | "volumes"> & {
  readonly beginning: ReturnType<typeof beginnings>;
};

function isAlike(a: Rest, b: Rest): boolean {
  const sameStart =
    a.beginning.size === b.beginning.size && [...a.beginning].every((it) => b.beginning.has(it));
  return a.nowMs === b.nowMs && a.volumes === b.volumes && sameStart;
}
