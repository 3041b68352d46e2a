import type { NodeId } from "../ids.ts";
import { HOSTNAME_LABEL } from "../pod/pod.ts";
import { labelOf, type NodeView, nodeOf } from "./node-view.ts";

/** A node, and what decides whether it is better than another. */
export type Ranked = {
  readonly node: NodeView;
  /** How many of the app's pods are where the label that they are spread by has the same value. */
  readonly peers: number;
  /** How many of them are on the node itself. */
  readonly siblings: number;
  readonly fullness: number;
};

/** What a node has that lacks the label: it is in no place that anybody knows, and worse than all that are. */
const PLACELESS = Number.POSITIVE_INFINITY;

/** How an app's pods stand: it changes as they are added. */
export type Spread = {
  /** The label whose values are the places. */
  readonly by: string;
  add(node: NodeView): void;
  rank(node: NodeView): Ranked;
};

/** `taken` are the nodes of the app's pods, once for each. */
export function spreadOf(nodes: readonly NodeView[], by: string, taken: readonly NodeId[]): Spread {
  const onNode = new Map<NodeId, number>();
  const inPlace = new Map<string, number>();
  const peersOf = (node: NodeView) => {
    const place = labelOf(node, by);
    return place === undefined ? PLACELESS : (inPlace.get(place) ?? 0);
  };
  const siblingsOf = ({ id }: NodeView) => onNode.get(id) ?? 0;
  const add = (node: NodeView) => {
    onNode.set(node.id, siblingsOf(node) + 1);
    const place = labelOf(node, by);
    if (place !== undefined) inPlace.set(place, peersOf(node) + 1);
  };
  for (const id of taken) {
    const node = nodeOf(nodes, id);
    if (node) add(node);
  }
  return {
    by,
    add,
    rank: (node) => {
      const { used, allocatable } = node;
      const fullness = used.memoryBytes / Math.max(1, allocatable.memoryBytes);
      return { node, peers: peersOf(node), siblings: siblingsOf(node), fullness };
    },
  };
}

/**
 * Whether `a` is better for one more pod of an app than `b`: first the place with the fewest of its pods,
 * then the node with the fewest, so that replicas spread; then the fullest, so that room stays in one
 * piece. Ties break by name, so the same world always gives the same answer.
 */
export function isBetter(a: Ranked, b: Ranked): boolean {
  return a.peers === b.peers ? isBetterThere(a, b) : a.peers < b.peers;
}

/** The same of two nodes in one place. */
export function isBetterThere(a: Ranked, b: Ranked): boolean {
  if (a.siblings !== b.siblings) return a.siblings < b.siblings;
  if (a.fullness !== b.fullness) return a.fullness > b.fullness;
  return a.node.name < b.node.name;
}

/** The best of `nodes`, and in words what made it so. */
export function chosenOf(
  nodes: readonly NodeView[],
  spread: Spread,
): { readonly node: NodeView; readonly why: string } | undefined {
  const all = nodes.map(spread.rank);
  const chosen = bestOf(all);
  return chosen && { node: chosen.node, why: whyBest(all, chosen, spread) };
}

function whyBest(all: readonly Ranked[], chosen: Ranked, { by }: Spread): string {
  const rivals = all.filter((it) => it.peers === chosen.peers);
  const words = whyOfRivals(chosen, rivals);
  if (by === HOSTNAME_LABEL) return words;
  if (chosen.peers === PLACELESS) return `none has a label ${by}: ${words}`;
  if (rivals.length === all.length) return words;
  const place = `${by}=${labelOf(chosen.node, by)}`;
  const why = `one with ${place}, which has the fewest pods of the app (${chosen.peers})`;
  return rivals.length === 1 ? `the ${why}` : `${why}; of ${rivals.length} such nodes ${words}`;
}

/** Of nodes in places that are equally good. */
function whyOfRivals(chosen: Ranked, rivals: readonly Ranked[]): string {
  const equal = rivals.filter((it) => it !== chosen && it.siblings === chosen.siblings);
  if (equal.length === 0) return "the one with the fewest pods of the app";
  const isFullest = equal.every((it) => it.fullness < chosen.fullness);
  return isFullest
    ? `the fullest (${Math.round(chosen.fullness * 100)} % of its memory)`
    : "the first of equals by name";
}

function bestOf(all: readonly Ranked[]): Ranked | undefined {
  let found = all[0];
  for (const it of all) if (found && isBetter(it, found)) found = it;
  return found;
}
