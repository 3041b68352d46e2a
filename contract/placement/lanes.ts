import { HOSTNAME_LABEL } from "../pod/pod.ts";
import { labelOf, type NodeView } from "./node-view.ts";
import { type Queue, queueOf } from "./queue.ts";
import { isBetter, isBetterThere, type Ranked, type Spread } from "./score.ts";

/**
 * The nodes as they are asked, the best first, as `spread` says it then. A pod makes all nodes of its place
 * worse and leaves their order among themselves as it was: so each place has a queue, and the first of all
 * is the best of those that stand first.
 */
export function inLanes(nodes: readonly NodeView[], spread: Spread): Queue<Ranked> {
  const lanes = places(nodes, spread.by).map((it) => queueOf(it.map(spread.rank), isBetterThere));
  let chosen: Queue<Ranked> | undefined;
  return {
    first: () => {
      let best: Ranked | undefined;
      for (const lane of lanes) {
        const head = lane.first();
        const ranked = head && spread.rank(head.node);
        if (!ranked || (best && !isBetter(ranked, best))) continue;
        best = ranked;
        chosen = lane;
      }
      return best;
    },
    dropFirst: () => chosen?.dropFirst(),
    replaceFirst: (by) => chosen?.replaceFirst(by),
  };
}

/** Where each node is a place by itself, a pod makes no other worse, and one lane is enough for all. */
function places(nodes: readonly NodeView[], by: string): readonly (readonly NodeView[])[] {
  if (by === HOSTNAME_LABEL) return [nodes];
  return [...Map.groupBy(nodes, (it) => labelOf(it, by)).values()];
}
