import { bestFirst, hasSucceeded, isReady, silentNode } from "./condition.ts";
import { diagnose } from "./diagnose.ts";
import type { PodView, ReleaseView, World } from "./world.ts";

/**
 * Up to `count` of the `others` that are already what the new release `target` asks for, so that it
 * need not make them. None that is proven bad, that nobody has heard of lately, or that had its time
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
  return equals(target, sound, count);
}

/**
 * Up to `count` of the `others` for the release `served`, which went live once and had such pods: what a
 * newer release took over or made, and does not come to use, serves on here. In whatever state they are.
 */
export function takenBack(
  served: ReleaseView | undefined,
  others: readonly PodView[],
  count: number,
): readonly PodView[] {
  return served ? equals(served, others, count) : [];
}

function equals(
  { fingerprint }: ReleaseView,
  others: readonly PodView[],
  count: number,
): readonly PodView[] {
  const equal = others.filter((pod) => pod.fingerprint === fingerprint);
  return bestFirst(equal).slice(0, Math.max(0, count));
}
