import type { NodeId } from "../ids.ts";
import type { NodeView } from "./node-view.ts";

/** A node, and what decides whether it is better than another. */
export type Ranked = {
  readonly node: NodeView;
  /** How many of the app's pods are on it. */
  readonly siblings: number;
  readonly fullness: number;
};

/** `taken` are the nodes of the app's pods, once for each. */
export function ranked(nodes: readonly NodeView[], taken: readonly NodeId[]): readonly Ranked[] {
  const siblings = new Map<NodeId, number>();
  for (const id of taken) siblings.set(id, (siblings.get(id) ?? 0) + 1);
  return nodes.map((node) => rank(node, siblings.get(node.id) ?? 0));
}

export function rank(node: NodeView, siblings: number): Ranked {
  const { used, allocatable } = node;
  return { node, siblings, fullness: used.memoryBytes / Math.max(1, allocatable.memoryBytes) };
}

/**
 * Whether `a` is better for one more pod of an app than `b`: first the node with the fewest of its pods, so
 * that replicas spread; then the fullest, so that room stays in one piece. Ties break by name, so the same
 * world always gives the same answer.
 */
export function isBetter(a: Ranked, b: Ranked): boolean {
  if (a.siblings !== b.siblings) return a.siblings < b.siblings;
  if (a.fullness !== b.fullness) return a.fullness > b.fullness;
  return a.node.name < b.node.name;
}

/** The best of `nodes`, and in words what made it so. */
export function chosenOf(
  nodes: readonly NodeView[],
  taken: readonly NodeId[],
): { readonly node: NodeView; readonly why: string } | undefined {
  const all = ranked(nodes, taken);
  const chosen = bestOf(all);
  return chosen && { node: chosen.node, why: whyBest(all, chosen) };
}

function whyBest(all: readonly Ranked[], chosen: Ranked): string {
  const equal = all.filter((it) => it !== chosen && it.siblings === chosen.siblings);
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
