import type { NodeId } from "../ids.ts";
import { canTake, withTenant } from "./filter.ts";
import type { Asked, NodeView, Surroundings } from "./node-view.ts";
import { best } from "./score.ts";
import { withPart } from "./wish.ts";

export type Found =
  | { readonly kind: "place"; readonly node: NodeId }
  /** What is against each node, in words with numbers; empty where there is none. */
  | { readonly kind: "wait"; readonly against: readonly string[] };

/**
 * Places for up to `count` pods, each counted against its node for the next; where one fits nowhere, why.
 * `taken` are the nodes of the pods that stand already, once for each.
 */
export function findPlaces(
  world: Surroundings,
  asked: Asked,
  count: number,
  taken: readonly NodeId[],
): readonly Found[] {
  const found: Found[] = [];
  const siblings = [...taken];
  let around = world;
  for (let placed = 0; placed < count; placed++) {
    const verdicts = around.nodes.map((node) => ({ node, verdict: canTake(node, asked, around) }));
    const fitting = verdicts.filter((it) => it.verdict.fits).map((it) => it.node);
    const node = best(fitting, siblings);
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

/** Why a pod waits, in one line. */
export function waitingWords(against: readonly string[]): string {
  return against.join("; ") || "no node has joined yet";
}

/** The same with one such pod more. */
export function withPodOn(
  around: Surroundings,
  node: NodeId,
  { demands, wish }: Asked,
): Surroundings {
  const claimed = demands.claims.map((it): [string, NodeId] => [it, node]);
  const withPod = (it: NodeView) => ({
    ...withTenant(it, { pod: undefined, demands }),
    wish: withPart(it.wish, wish),
  });
  return {
    ...around,
    nodes: around.nodes.map((it) => (it.id === node ? withPod(it) : it)),
    volumes: new Map([...around.volumes, ...claimed]),
  };
}
