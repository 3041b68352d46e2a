import { deafNode, isOver, mayStillRun } from "./condition.ts";
import { placeAfter } from "./keep.ts";
import type { Rollout } from "./leaving.ts";
import { place, withoutPods } from "./place.ts";
import type { Change } from "./plan.ts";
import type { PodView, World } from "./world.ts";

/**
 * The way of a rollout whose pods must not stand beside the old ones: those leave together, and the new
 * ones start when all have ended. Not before there is a place for what comes, nor while the node of an
 * old one can neither end it nor say that it has: until then the old ones serve.
 */
export function recreate(
  world: World,
  { target, fresh, old }: Rollout,
  lost: readonly PodView[],
): readonly Change[] {
  const missing = target.replicas - fresh.length;
  const running = old.filter((pod) => !isOver(pod));
  for (const pod of running) {
    const node = deafNode(world, pod);
    if (node !== undefined)
      return [
        { kind: "hold", release: target.id, why: `pod ${pod.name} may still run on ${node}` },
      ];
  }
  if (running.length > 0) {
    const ending = world.pods.filter((pod) => pod.wanted === "gone" && mayStillRun(world, pod));
    const found = place(withoutPods(world, [...running, ...ending]), target, missing, fresh);
    const waits = found.filter((it) => it.kind === "wait");
    if (waits.length > 0) return waits;
  }
  return [
    ...old.map((pod): Change => ({ kind: "remove", pod: pod.id, because: "in-the-way" })),
    ...placeAfter(world, target, missing, fresh, [...running, ...lost]),
  ];
}
