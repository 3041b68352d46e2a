import type { NodeId } from "../ids.ts";
import { hasRoom, verdictOn, withTenant } from "./filter.ts";
import { inLanes } from "./lanes.ts";
import { beginnings } from "./neighbours.ts";
import type { Asked, NodeView, Surroundings } from "./node-view.ts";
import { spreadOf } from "./score.ts";
import { withPart } from "./wish.ts";

export type Found =
  | { readonly kind: "place"; readonly node: NodeId }
  /** What is against each node, in words with numbers; empty where there is none. */
  | { readonly kind: "wait"; readonly against: readonly string[] };

/**
 * Places for up to `count` pods, each counted against its node for the next; where one fits nowhere, why.
 * `taken` are the nodes of the pods that stand already, once for each.
 *
 * A node is asked only when no better one is left: again after it was given a pod, and never again once it
 * refused, since one more of these pods makes no other node take what it did not take before.
 */
export function findPlaces(
  world: Surroundings,
  asked: Asked,
  count: number,
  taken: readonly NodeId[],
): readonly Found[] {
  const found: Found[] = [];
  const given = new Map<NodeId, NodeView>();
  // In a fleet most nodes that are full are known by that alone.
  const roomy = world.nodes.filter((it) => hasRoom(it, asked.demands.requests));
  const spread = spreadOf(world.nodes, asked.spreadBy, taken);
  const queue = inLanes(roomy, spread);
  let around = world;
  let beginning = beginnings(asked.demands, world.nodes);
  while (found.length < count) {
    const first = queue.first();
    if (!first) {
      const nodes = world.nodes.map((it) => given.get(it.id) ?? it);
      return [...found, { kind: "wait", against: allAgainst({ ...around, nodes }, asked) }];
    }
    if (!verdictOn(first.node, asked, around, beginning).fits) {
      queue.dropFirst();
      continue;
    }
    const node = withPod(first.node, asked);
    found.push({ kind: "place", node: node.id });
    given.set(node.id, node);
    spread.add(node);
    queue.replaceFirst(spread.rank(node));
    around = { ...around, volumes: withClaims(around, asked, node.id) };
    beginning = new Set();
  }
  return found;
}

/** In one line there is no room for what is against each of a thousand nodes. */
const NODES_NAMED = 5;

/** What is against the first few, and how many more there are. */
export function named(against: readonly string[]): readonly string[] {
  const more = against.length - NODES_NAMED;
  return more > 0 ? [...against.slice(0, NODES_NAMED), `and ${more} more nodes`] : against;
}

/** Why a pod waits, in one line. */
export function waitingWords(against: readonly string[]): string {
  return named(against).join("; ") || "no node has joined yet";
}

/** The same with one such pod more. */
export function withPodOn(around: Surroundings, node: NodeId, asked: Asked): Surroundings {
  return {
    ...around,
    nodes: around.nodes.map((it) => (it.id === node ? withPod(it, asked) : it)),
    volumes: withClaims(around, asked, node),
  };
}

/** The same with one such pod more on it. */
export function withPod(node: NodeView, { demands, wish }: Asked): NodeView {
  return {
    ...withTenant(node, { pod: undefined, demands }),
    wish: withPart(node.wish, wish),
  };
}

function withClaims(
  { volumes }: Surroundings,
  { demands }: Asked,
  node: NodeId,
): Surroundings["volumes"] {
  if (demands.claims.every((it) => volumes.get(it) === node)) return volumes;
  return new Map([...volumes, ...demands.claims.map((it): [string, NodeId] => [it, node])]);
}

function allAgainst(around: Surroundings, asked: Asked): readonly string[] {
  const beginning = beginnings(asked.demands, around.nodes);
  return around.nodes.flatMap((node) => {
    const verdict = verdictOn(node, asked, around, beginning);
    return verdict.fits ? [] : [verdict.why];
  });
}
