import type { NodeId } from "../../contract/ids.ts";
import { isSilent } from "../../contract/placement/filter.ts";

/** Twice the time after which a node counts as silent: whoever is there has spoken by then. */
export const GRACE_MS = 90_000;
const AT_ONCE_MS = 60_000;
const RECENTLY_MS = 600_000;

export type NodeSight = {
  readonly id: NodeId;
  readonly name: string;
  /** When its agent last reported, ms since the epoch; 0 for never. */
  readonly seenAtMs: number;
  readonly fenced: boolean;
};

export type Sights = {
  readonly nowMs: number;
  /** Since when reports come in as ever, as far as this side knows, ms since the epoch. */
  readonly calmSinceMs: number;
  /** For how long a node has to be silent before its pods are replaced. */
  readonly replaceAfterMs: number;
  readonly nodes: readonly NodeSight[];
};

export type NodesPlan = {
  /** What ran there and may run elsewhere should. Never a fenced node: that is gone by a person's word. */
  readonly lost: readonly NodeId[];
  /** So many vanished together that the trouble is likely here: no calm begins while that stays so. */
  readonly troubled: boolean;
  /** Why nodes that are silent for long enough are not given up, in words. */
  readonly held: readonly string[];
};

/**
 * Which nodes are given up. Absence proves little: none is while this side itself may be what was away,
 * nor while no node at all is heard of, and none of those that vanished together as more than half of
 * all that were there.
 */
export function planNodes(sights: Sights): NodesPlan {
  const { nowMs, calmSinceMs, replaceAfterMs, nodes } = sights;
  const gone = nodes.filter((it) => it.seenAtMs > 0 && isSilent(it, nowMs));
  const silent = gone.filter((it) => !it.fenced);
  if (silent.length === 0) return { lost: [], troubled: false, held: [] };
  const deaf = nodes.every((it) => it.fenced || it.seenAtMs === 0 || isSilent(it, nowMs));
  const goneAtMs = momentsOf(gone);
  const seenAtMs = momentsOf(nodes);
  const swept = new Set(silent.filter((it) => vanishedWithMost(it, goneAtMs, seenAtMs)));
  const calm = nowMs - calmSinceMs >= GRACE_MS;
  const why = (it: NodeSight) =>
    deaf ? NONE_HEARD : swept.has(it) ? TOGETHER : calm ? undefined : RETURNED;
  const overdue = silent.filter((it) => nowMs - it.seenAtMs >= replaceAfterMs);
  return {
    lost: overdue.filter((it) => why(it) === undefined).map((it) => it.id),
    troubled: deaf || swept.size > 0,
    held: overdue.flatMap((it) => (why(it) === undefined ? [] : [`${it.name}: ${why(it)}`])),
  };
}

const TOGETHER = "more than half of the nodes vanished within a minute of one another";
const NONE_HEARD = "no node at all is heard of";
const RETURNED = "the control plane itself was away a moment ago";

/** Whether `node` went with more than half of those that were there at that time. */
function vanishedWithMost(
  { seenAtMs: atMs }: NodeSight,
  goneAtMs: readonly number[],
  seenAtMs: readonly number[],
): boolean {
  const companions =
    countBelow(goneAtMs, atMs + AT_ONCE_MS + 1) - countBelow(goneAtMs, atMs - AT_ONCE_MS);
  const there = seenAtMs.length - countBelow(seenAtMs, atMs - RECENTLY_MS);
  return companions * 2 > there;
}

function momentsOf(nodes: readonly NodeSight[]): readonly number[] {
  return nodes.map((it) => it.seenAtMs).toSorted((a, b) => a - b);
}

/** How many of them are below `limit`; they are in order, and thousands are asked about thousands. */
function countBelow(ordered: readonly number[], limit: number): number {
  let [low, high] = [0, ordered.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ordered[middle] ?? 0) < limit) low = middle + 1;
    else high = middle;
  }
  return low;
}
