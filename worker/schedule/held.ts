import { isFenced, isOver } from "./condition.ts";
import { displaced } from "./keep.ts";
import type { PodView, ReleaseView, World } from "./world.ts";

/**
 * Those of `pods` that stay for people to look into: a release that says `rollout.autoRevert: false` failed, and
 * no newer one takes its place. They stay where they are and nowhere else: one whose node is drained, fenced or
 * given up goes, and none is made for it. None is held that must not stand beside what `live` runs: a
 * bad release never keeps a good one from serving.
 */
export function heldPods(
  world: World,
  live: ReleaseView | undefined,
  pods: readonly PodView[],
): readonly PodView[] {
  const mayStand = (pod: PodView) => live === undefined || !(live.exclusive || pod.exclusive);
  const hasNode = (pod: PodView) =>
    isOver(pod) || (!isFenced(world, pod) && displaced(world, pod) === undefined);
  return pods.filter((pod) => pod.release === world.held && mayStand(pod) && hasNode(pod));
}
