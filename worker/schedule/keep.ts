import { silence } from "../../contract/placement/filter.ts";
import { nodeOf } from "../../contract/placement/node-view.ts";
import {
  bestFirst,
  deafNode,
  endingPods,
  isEnding,
  isFenced,
  isHopeless,
  isOver,
  isProven,
  mayStillRun,
  silentNode,
} from "./condition.ts";
import { place, withoutPods } from "./place.ts";
import type { Change } from "./plan.ts";
import type { PodView, ReleaseView, World } from "./world.ts";

/** Pods of other releases. */
type Others = {
  /** What a failed release left and serves on meanwhile: exchanged as in a rollout, with no more surge. */
  readonly beside: readonly PodView[];
  /** Those that go just now. */
  readonly leaving: readonly PodView[];
};

/**
 * As many pods of the live release as are asked for, where they may stand. What stands on a node that is
 * lost or drained is made anew elsewhere first, and leaves once enough serve without it: a node that comes
 * back meanwhile has lost nothing. What is over stays as it is.
 */
export function keepRunning(
  world: World,
  live: ReleaseView,
  own: readonly PodView[],
  others: Others,
): readonly Change[] {
  const gone = own.filter((pod) => isFenced(world, pod) && !isOver(pod));
  const there = own.filter((pod) => !gone.includes(pod));
  return [
    ...gone.map((pod) => leave(pod, "node-fenced")),
    ...(live.exclusive
      ? oneAfterTheOther(world, live, there, others.leaving)
      : oneMoreFirst(world, live, there, others)),
  ];
}

/** Why it should stand elsewhere; undefined: it may stay. */
export function displaced(world: World, pod: PodView): "node-lost" | "node-drained" | undefined {
  if (isOver(pod)) return undefined;
  if (world.lost.has(pod.node)) return "node-lost";
  return nodeOf(world.nodes, pod.node)?.draining ? "node-drained" : undefined;
}

function oneMoreFirst(
  world: World,
  live: ReleaseView,
  own: readonly PodView[],
  { beside, leaving }: Others,
): readonly Change[] {
  const why = new Map(own.map((pod) => [pod, displaced(world, pod)]));
  const going = notNeeded(world, live, own);
  const rest = own.filter((pod) => !going.includes(pod));
  const staying = rest.filter((pod) => why.get(pod) === undefined);
  const lost = rest.filter((pod) => why.get(pod) === "node-lost").length;
  const moving = rest.length - staying.length > lost ? 1 : 0;
  const serving = beside.filter((pod) => !world.lost.has(pod.node)).length;
  const surge = serving > 0 ? live.maxSurge : moving;
  const limit = live.replicas + lost + surge - serving;
  const missing = live.replicas - staying.length;
  return [
    ...going.map((pod) => leave(pod, why.get(pod) ?? "surplus")),
    ...placeWithin(world, live, { missing, limit }, rest, [...going, ...leaving]),
  ];
}

/**
 * The pods without which as many remain as are asked for. Of those that are heard of, as many have to
 * be on nodes where they may stay; before one goes that should stand elsewhere, or of which nobody has
 * heard, as many have to be proven ready. Those that had their time and are not need no substitute; but
 * the newest are the substitutes, and have to be.
 */
function notNeeded(world: World, live: ReleaseView, own: readonly PodView[]): readonly PodView[] {
  const doubt = (pod: PodView) =>
    [undefined, "node-drained", "silent", "node-lost"].indexOf(
      displaced(world, pod) ?? (silentNode(world, pod) && !isOver(pod) ? "silent" : undefined),
    );
  const enoughServe = (rest: readonly PodView[]) => {
    const oldestFirst = rest.toSorted((a, b) => a.createdAtMs - b.createdAtMs);
    const before = oldestFirst.slice(0, Math.max(0, live.replicas - 1));
    const hopeless = before.filter((pod) => isHopeless(world, live, pod)).length;
    return rest.filter((pod) => isProven(world, live, pod)).length >= live.replicas - hopeless;
  };
  let rest = own;
  const worstFirst = bestFirst(own).toReversed();
  for (const pod of worstFirst.toSorted((a, b) => doubt(b) - doubt(a))) {
    if (rest.length <= live.replicas) break;
    const others = rest.filter((it) => it !== pod);
    const sure = others.filter((it) => doubt(it) === 0);
    if (doubt(pod) > 0 ? enoughServe(others) : sure.length >= live.replicas) rest = others;
  }
  return own.filter((pod) => !rest.includes(pod));
}

function oneAfterTheOther(
  world: World,
  live: ReleaseView,
  own: readonly PodView[],
  leaving: readonly PodView[],
): readonly Change[] {
  const surplus = bestFirst(own).slice(live.replicas);
  const kept = own.filter((pod) => !surplus.includes(pod));
  const moving = kept.find((pod) => displaced(world, pod) === "node-drained");
  const deaf = moving && deafNode(world, moving);
  const elsewhere =
    moving && deaf === undefined ? place(withoutPods(world, [moving]), live, 1, kept) : undefined;
  const moved = elsewhere?.[0]?.kind === "place" ? moving : undefined;
  const missing = live.replicas - kept.length + (moved ? 1 : 0);
  return [
    ...surplus.map((pod) => leave(pod, "surplus")),
    ...(moved ? [leave(moved, "node-drained")] : []),
    ...(elsewhere ?? []).filter((it) => it.kind === "wait"),
    ...(deaf === undefined
      ? heldByNode(world, live, kept)
      : [hold(live, `pod ${moving?.name} cannot leave ${deaf}`)]),
    ...placeAfter(world, live, missing, kept, [...leaving, ...surplus, ...(moved ? [moved] : [])]),
  ];
}

/** Nobody but its node, or a person, can say that such a pod does not run there any more. */
function heldByNode(world: World, { id }: ReleaseView, own: readonly PodView[]): readonly Change[] {
  const held = own.find((pod) => displaced(world, pod) === "node-lost");
  const node = held && silentNode(world, held);
  if (!held || !node) return [];
  const why = `pod ${held.name} may still run on node ${node.name}, which is ${silence(node)}; it is started elsewhere once that node is fenced`;
  return [hold({ id }, why)];
}

function hold({ id }: Pick<ReleaseView, "id">, why: string): Change {
  return { kind: "hold", release: id, why };
}

/**
 * Places as many pods as are missing and as may be beside the wanted ones. Those that are ending count,
 * and those that go just now: they run as long as they need for it, and never more at once than `limit`.
 */
export function placeWithin(
  world: World,
  release: ReleaseView,
  { missing, limit }: { readonly missing: number; readonly limit: number },
  wanted: readonly PodView[],
  leaving: readonly PodView[],
): readonly Change[] {
  const ending = [...endingPods(world), ...leaving.filter((pod) => isEnding(world, pod))];
  const room = limit - wanted.length - ending.length;
  return placeAfter(world, release, Math.min(missing, room), wanted, leaving);
}

/** A pod that leaves and may still run, where none of this release may start beside it: see strategy.ts. */
export function mustEndFirst(
  world: World,
  release: ReleaseView,
  leaving: readonly PodView[] = [],
): PodView | undefined {
  return [...world.pods.filter((pod) => pod.wanted === "gone"), ...leaving].find(
    (pod) => (release.exclusive || pod.exclusive) && mayStillRun(world, pod),
  );
}

/** Places pods once none may run that they must not stand beside. */
export function placeAfter(
  world: World,
  release: ReleaseView,
  count: number,
  wanted: readonly PodView[],
  leaving: readonly PodView[],
): readonly Change[] {
  if (count <= 0) return [];
  const ending = mustEndFirst(world, release, leaving);
  if (!ending) return place(world, release, count, wanted);
  const node = world.nodes.find((it) => it.id === ending.node)?.name ?? "a node that has gone";
  const why = `pod ${ending.name} on node ${node} has to end before another starts`;
  return [{ kind: "hold", release: release.id, why }];
}

function leave(pod: PodView, because: Extract<Change, { kind: "remove" }>["because"]): Change {
  return { kind: "remove", pod: pod.id, because };
}
