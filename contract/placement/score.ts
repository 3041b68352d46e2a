import type { NodeId } from "../ids.ts";
import type { NodeView } from "./node-view.ts";

/**
 * The best of `nodes` for one more pod of an app whose pods run on `taken`: first the node with the
 * fewest of them, so that replicas spread; then the fullest, so that room stays in one piece. Ties
 * break by name, so the same world always gives the same answer.
 */
export function best(nodes: readonly NodeView[], taken: readonly NodeId[]): NodeView | undefined {
  return ranked(nodes, taken)[0];
}

/** What made `best` choose, in words. */
export function whyBest(nodes: readonly NodeView[], taken: readonly NodeId[]): string {
  const [chosen, ...rivals] = ranked(nodes, taken);
  if (!chosen) return "none";
  const equal = rivals.filter((it) => siblings(it, taken) === siblings(chosen, taken));
  if (equal.length === 0) return "the one with the fewest pods of the app";
  const isFullest = equal.every((it) => fullness(it) < fullness(chosen));
  return isFullest
    ? `the fullest (${percent(chosen)} of its memory)`
    : "the first of equals by name";
}

function ranked(nodes: readonly NodeView[], taken: readonly NodeId[]): readonly NodeView[] {
  return nodes.toSorted(
    (a, b) =>
      siblings(a, taken) - siblings(b, taken) ||
      fullness(b) - fullness(a) ||
      (a.name < b.name ? -1 : 1),
  );
}

function siblings({ id }: NodeView, taken: readonly NodeId[]): number {
  return taken.filter((it) => it === id).length;
}

function percent(node: NodeView): string {
  return `${Math.round(fullness(node) * 100)} %`;
}

function fullness({ used, allocatable }: NodeView): number {
  return used.memoryBytes / Math.max(1, allocatable.memoryBytes);
}
