import { eq } from "drizzle-orm";
import type { NodeId, PodId } from "../../contract/ids.ts";
import type { PodStatus } from "../../contract/node/protocol.ts";
import { canonicalJson } from "../../contract/pod/pod.ts";
import type { Tx } from "../client.ts";
import { nodeStatus, type Stranger } from "../schema/core.ts";

/*
 * Pods that a node tells and that are not its own. Those that are over stand among them: they run never
 * again, but are as unknown, and end with the others when the node is adopted. While a node has any, its
 * reports are read whole: they may become its own, or be gone.
 */

/** Those of what a node reports that have these ids, in an order that is always the same. */
export function strangersAmong(
  reported: readonly PodStatus[],
  ids: readonly PodId[],
): readonly Stranger[] {
  const these = new Set(ids);
  return reported
    .filter((it) => these.has(it.pod))
    .map(({ pod, name, phase }) => ({ pod, ...(name !== undefined && { name }), phase }))
    .toSorted((a, b) => (a.pod < b.pod ? -1 : 1));
}

/** Writes them where they are not as `before`, and answers those that were not among them then. */
export async function storeStrangers(
  tx: Tx,
  node: NodeId,
  now: readonly Stranger[],
  before: readonly Stranger[],
): Promise<readonly PodId[]> {
  if (canonicalJson(now) === canonicalJson(before)) return [];
  const row = { strangers: now, lastReport: null };
  await tx.update(nodeStatus).set(row).where(eq(nodeStatus.nodeId, node));
  const known = new Set(before.map((it) => it.pod));
  return now.flatMap(({ pod }) => (known.has(pod) ? [] : [pod]));
}
