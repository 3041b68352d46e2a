import type { NodeId } from "../ids.ts";
import type { Labels } from "./demands.ts";
import { labelOf, type NodeView, nodeOf } from "./node-view.ts";
import { type Ranked, spreadOf } from "./score.ts";

/* Which of the pods that run stay where they are, when a release asks for them elsewhere, or for fewer. */

/**
 * Whether a pod whose node had to have the labels `was` may stay there when others are asked for. A node
 * that has lost a label since keeps its pods: only what is asked now is asked of it.
 */
export function mayStay(node: NodeView | undefined, was: Labels, now: Labels): boolean {
  const isNew = Object.entries(now).filter(([key, value]) => was[key] !== value);
  return isNew.every(([key, value]) => node !== undefined && labelOf(node, key) === value);
}

/**
 * Up to `count` of `pods`, so that they are spread by the label `by` as evenly as it goes: of equals the first
 * one, and none before one that is better by `worth`, where less is better.
 */
export function mostSpread<P extends { readonly node: NodeId }>(
  nodes: readonly NodeView[],
  by: string,
  pods: readonly P[],
  count: number,
  worth: (pod: P) => number,
): readonly P[] {
  if (count >= pods.length) return pods;
  const spread = spreadOf(nodes, by, []);
  const rest = [...pods];
  const chosen: P[] = [];
  while (chosen.length < count) {
    const [first, ...others] = rest.map(standing);
    if (!first) break;
    const best = others.reduce((best, it) => (isBetter(it, best) ? it : best), first);
    rest.splice(rest.indexOf(best.pod), 1);
    chosen.push(best.pod);
    if (best.node) spread.add(best.node);
  }
  return chosen;

  function standing(pod: P): Standing<P> {
    const node = nodeOf(nodes, pod.node);
    const { peers, siblings } = node ? spread.rank(node) : NOWHERE;
    return { pod, node, worth: worth(pod), peers, siblings };
  }
}

type Standing<P> = Pick<Ranked, "peers" | "siblings"> & {
  readonly pod: P;
  readonly node: NodeView | undefined;
  readonly worth: number;
};

const NOWHERE = { peers: Number.POSITIVE_INFINITY, siblings: 0 };

function isBetter<P>(a: Standing<P>, b: Standing<P>): boolean {
  if (a.worth !== b.worth) return a.worth < b.worth;
  if (a.peers !== b.peers) return a.peers < b.peers;
  return a.siblings < b.siblings;
}
