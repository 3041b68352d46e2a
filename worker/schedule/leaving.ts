import { bestFirst, endingPods, isReady, silentNode } from "./condition.ts";
import { standsInTheWay } from "./place.ts";
import type { PodView, ReleaseView, World } from "./world.ts";

export type Rollout = {
  readonly target: ReleaseView;
  /** The live release, while the target takes its place. */
  readonly served: ReleaseView | undefined;
  /** As many pods as there may be at once. */
  readonly limit: number;
  /** The target's pods, and those of them that are proven to work. */
  readonly fresh: readonly PodView[];
  readonly proven: readonly PodView[];
  /** All others that are wanted. */
  readonly old: readonly PodView[];
};

/**
 * The old pods that go now: one for each new one that is proven ready; those of an overtaken release
 * that serve nothing; and one where they leave no room for the first new one. Unready ones go first,
 * then overtaken ones, then those on silent nodes; of the ready ones none that is needed to serve with as
 * many as the new release asks for.
 */
export function leaving(world: World, rollout: Rollout): readonly PodView[] {
  const { target, served, limit, fresh, proven, old } = rollout;
  const ordered = leastNeededFirst(rollout);
  const unready = ordered.filter((pod) => !isReady(pod));
  const ready = ordered.filter(isReady);
  const unheard = ready.filter((pod) => silentNode(world, pod));
  const heard = ready.filter((pod) => !unheard.includes(pod));
  const spare = (of: readonly PodView[]) =>
    of.slice(0, Math.max(0, proven.length + of.length - target.replicas));
  const needed = Math.max(0, (served?.replicas ?? 0) - proven.length);
  const exchanged = proven.length > 0 ? old.length - needed : 0;
  const crowding = fresh.length === 0 ? 1 + old.length - limit : 0;
  const useless = unready.filter((pod) => pod.release !== served?.id).length;
  const spared = new Set([
    ...spare([...unheard, ...heard]).filter((it) => unheard.includes(it)),
    ...spare(heard),
  ]);
  const overtakenFirst = (of: readonly PodView[]) => [
    ...of.filter((pod) => pod.release !== served?.id),
    ...of.filter((pod) => pod.release === served?.id),
  ];
  const mayGo = overtakenFirst([...unheard, ...heard].filter((it) => spared.has(it)));
  return [...unready, ...mayGo].slice(0, Math.max(exchanged, crowding, useless));
}

/**
 * Where a new pod can come nowhere beside the old ones, the one old pod that goes before it: one at a
 * time, and no other before what came in its place works. Nothing serves in between, and there is no
 * other way: two pods cannot hold one port of a node.
 */
export function leavingFirst(world: World, rollout: Rollout): PodView | undefined {
  const { target, fresh, proven } = rollout;
  if (endingPods(world).length > 0 || proven.length < fresh.length) return undefined;
  return standsInTheWay(world, target, leastNeededFirst(rollout));
}

function leastNeededFirst({ served, old }: Rollout): readonly PodView[] {
  const isOvertaken = (pod: PodView) => pod.release !== served?.id;
  const worstFirst = bestFirst(old).toReversed();
  return worstFirst.toSorted((a, b) => Number(isOvertaken(b)) - Number(isOvertaken(a)));
}
