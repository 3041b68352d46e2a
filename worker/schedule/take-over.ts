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
  const equal = bestFirst(equalTo(world, target, sound));
  return told(world, target, mostSpread(world.nodes, target.spreadBy, equal, count, worth));
}

/**
 * Up to `count` of the `others` for the release `served`, which went live once and had such pods: what a
 * newer release took over or made, and does not come to use, serves on here. In whatever state they are,
 * and of equals the oldest: those that it had itself.
 */
export function takenBack(
  world: Pick<World, "nodes">,
  served: ReleaseView | undefined,
  others: readonly PodView[],
  count: number,
): readonly PodView[] {
  if (!served) return [];
  return told(
    world,
    served,
    bestFirst(equalTo(world, served, others)).slice(0, Math.max(0, count)),
  );
}

function equalTo(
  { nodes }: Pick<World, "nodes">,
  { fingerprint, demands: { nodeSelector } }: ReleaseView,
  others: readonly PodView[],
): readonly PodView[] {
  return others.filter(
    (pod) =>
      pod.fingerprint === fingerprint &&
      mayStay(nodeOf(nodes, pod.node), pod.nodeSelector, nodeSelector),
  );
}

/** Those whose node can be told so: a pod's text is another where labels and annotations are. */
function told(
  { nodes }: Pick<World, "nodes">,
  { wish }: ReleaseView,
  pods: readonly PodView[],
): readonly PodView[] {
  const bytes = new Map<NodeId, number>();
  return pods.filter((pod) => {
    const growth = wish.textBytes - pod.textBytes;
    const after = (bytes.get(pod.node) ?? nodeOf(nodes, pod.node)?.wish.bytes ?? 0) + growth;
    if (growth > 0 && after > MAX_WISH_BYTES) return false;
    bytes.set(pod.node, after);
    return true;
  });
}
