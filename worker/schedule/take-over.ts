import type { NodeId } from "../../contract/ids.ts";
import { MAX_WISH_BYTES } from "../../contract/node/wish-size.ts";
import { nodeOf } from "../../contract/placement/node-view.ts";
import { mayStay, mostSpread } from "../../contract/placement/staying.ts";
import { bestFirst, hasSucceeded, isReady, silentNode, worth } from "./condition.ts";
import { diagnose } from "./diagnose.ts";
import type { PodView, ReleaseView, World } from "./world.ts";

/**
 * Up to `count` of the `others` that are already what the new release `target` asks for, where it asks
 * for it, so that it need not make them. None that is proven bad, that nobody has heard of lately, or that had its time
 * and is not ready: to make it anew is what a new release is for.
 */
export function takenOver(
  world: World,
  target: ReleaseView,
  others: readonly PodView[],
  count: number,
): readonly PodView[] {
  if (target.newPods) return [];
  const isYoung = (pod: PodView) => world.nowMs - pod.createdAtMs < target.progressDeadlineMs;
  const sound = others.filter(
    (pod) =>
      !silentNode(world, pod) &&
      (isReady(pod) || hasSucceeded(pod) || isYoung(pod)) &&
      !(pod.seen && diagnose(pod.seen.status, target)),
  );
  return equals(world, target, sound, count);
}

/**
 * Up to `count` of the `others` for the release `served`, which went live once and had such pods: what a
 * newer release took over or made, and does not come to use, serves on here. In whatever state they are.
 */
export function takenBack(
  world: Pick<World, "nodes">,
  served: ReleaseView | undefined,
  others: readonly PodView[],
  count: number,
): readonly PodView[] {
  return served ? equals(world, served, others, count) : [];
}

function equals(
  { nodes }: Pick<World, "nodes">,
  { fingerprint, wish, spreadBy, demands: { nodeSelector } }: ReleaseView,
  others: readonly PodView[],
  count: number,
): readonly PodView[] {
  const told = new Map<NodeId, number>();
  const equal = others.filter(
    (pod) =>
      pod.fingerprint === fingerprint &&
      mayStay(nodeOf(nodes, pod.node), pod.nodeSelector, nodeSelector),
  );
  const chosen: PodView[] = [];
  for (const pod of mostSpread(nodes, spreadBy, bestFirst(equal), count, worth)) {
    // Its text is another where labels and annotations are, and that has to reach its node as well.
    const growth = wish.textBytes - pod.textBytes;
    const after = (told.get(pod.node) ?? nodeOf(nodes, pod.node)?.wish.bytes ?? 0) + growth;
    if (growth > 0 && after > MAX_WISH_BYTES) continue;
    told.set(pod.node, after);
    chosen.push(pod);
  }
  return chosen;
}
