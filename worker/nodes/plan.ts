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
 * and none of those that vanished together as more than half of all that were there.
 */
export function planNodes(sights: Sights): NodesPlan {
  const { nowMs, calmSinceMs, replaceAfterMs } = sights;
  const gone = sights.nodes.filter((it) => it.seenAtMs > 0 && isSilent(it, nowMs));
  const silent = gone.filter((it) => !it.fenced);
  const swept = silent.filter((it) => vanishedWithMost(it, gone, sights));
  const overdue = silent.filter((it) => nowMs - it.seenAtMs >= replaceAfterMs);
  const calm = nowMs - calmSinceMs >= GRACE_MS;
  const lost = calm ? overdue.filter((it) => !swept.includes(it)) : [];
  return {
    lost: lost.map((it) => it.id),
    troubled: swept.length > 0,
    held: overdue
      .filter((it) => !lost.includes(it))
      .map((it) => `${it.name}: ${swept.includes(it) ? TOGETHER : RETURNED}`),
  };
}

const TOGETHER = "more than half of the nodes vanished within a minute of one another";
const RETURNED = "the control plane itself was away a moment ago";

/** Whether `node` went with more than half of those that were there at that time. */
function vanishedWithMost(node: NodeSight, gone: readonly NodeSight[], { nodes }: Sights): boolean {
  const companions = gone.filter(
    (it) => Math.abs(it.seenAtMs - node.seenAtMs) <= AT_ONCE_MS,
  ).length;
  const there = nodes.filter((it) => it.seenAtMs >= node.seenAtMs - RECENTLY_MS).length;
  return companions * 2 > there;
}
