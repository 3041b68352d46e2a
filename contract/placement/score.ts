import type { NodeId } from "../ids.ts";
import type { NodeView } from "./node-view.ts";

/**
 * The best of `nodes` for one more pod of an app whose pods run on `taken`: first the node with the
 * fewest of them, so that replicas spread; then the fullest, so that room stays in one piece. Ties
 * break by name, so the same world always gives the same answer.
 */
export function best(nodes: readonly NodeView[], taken: readonly NodeId[]): NodeView | undefined {
  const siblings = (node: NodeView) => taken.filter((id) => id === node.id).length;
  return nodes.toSorted(
    (a, b) => siblings(a) - siblings(b) || fullness(b) - fullness(a) || (a.name < b.name ? -1 : 1),
  )[0];
}

function fullness({ used, allocatable }: NodeView): number {
  return used.memoryBytes / Math.max(1, allocatable.memoryBytes);
}
