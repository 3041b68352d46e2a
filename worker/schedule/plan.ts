import type { PodId, ReleaseId } from "../../contract/ids.ts";
import { isUnheard } from "../../contract/placement/filter.ts";
import type { Failure } from "../../db/schema/core.ts";
import {
  endingPods,
  isFenced,
  isHopeless,
  isOver,
  isProven,
  isReady,
  silentNode,
} from "./condition.ts";
import { failureOf } from "./failure.ts";
import { heldPods } from "./held.ts";
import { displaced, keepRunning, placeWithin } from "./keep.ts";
import { leaving, leavingFirst, type Rollout } from "./leaving.ts";
import { type Placing, standsInTheWay } from "./place.ts";
import { recreate } from "./recreate.ts";
import { takenBack, takenOver } from "./take-over.ts";
import { waitsForAgents } from "./untold.ts";
import type { PodView, ReleaseView, World } from "./world.ts";

export type RemovalReason =
  | "app-deleted"
  | "old-release"
  | "in-the-way"
  | "release-failed"
  | "surplus"
  | "node-lost"
  | "node-drained"
  | "node-fenced";

export type Change =
  | Placing
  /** A pod is not placed yet, for this reason, which is not the nodes' room. */
  | { readonly kind: "hold"; readonly release: ReleaseId; readonly why: string }
  /** The pod runs on as one of this release: it is what the release asks for already. */
  | { readonly kind: "adopt"; readonly pod: PodId; readonly release: ReleaseId }
  | { readonly kind: "remove"; readonly pod: PodId; readonly because: RemovalReason }
  | { readonly kind: "roll"; readonly release: ReleaseId }
  | { readonly kind: "go-live"; readonly release: ReleaseId }
  | { readonly kind: "retire"; readonly release: ReleaseId }
  | { readonly kind: "supersede"; readonly release: ReleaseId; readonly by: number }
  | { readonly kind: "cancel"; readonly release: ReleaseId }
  | { readonly kind: "fail"; readonly release: ReleaseId; readonly failure: Failure };

/**
 * What to change so that the app's newest built release runs with the pods it asks for.
 *
 * Pure, and a fixed point: applied to the world it asks for, it returns nothing but `wait`s and `hold`s. A pod of
 * the old release that is what the new one asks for is taken over as it runs. Any other goes only
 * when enough are ready without it, so a rollout never serves with fewer ready pods than it found or
 * than are asked for, but for pods that cannot stand side by side; and a release that is proven bad
 * fails and leaves the one before it as it was.
 */
export function planApp(world: World): readonly Change[] {
  const releases = world.releases.toSorted((a, b) => b.number - a.number);
  const wanted = world.pods.filter((pod) => pod.wanted === "run");
  if (world.appDeleted) {
    return [
      ...releases.map(
        (it): Change =>
          it.phase === "live"
            ? { kind: "retire", release: it.id }
            : { kind: "cancel", release: it.id },
      ),
      ...wanted.map((pod) => remove(pod, "app-deleted")),
    ];
  }
  const [target, ...older] = releases;
  if (!target) {
    const gone = without(wanted, heldPods(world, undefined, wanted));
    return gone.map((pod) => remove(pod, ofItsNode(world, pod) ?? "release-failed"));
  }
  const overtaken = older
    .filter((it) => it.phase !== "live")
    .map((it): Change => ({ kind: "supersede", release: it.id, by: target.number }));
  const changes =
    target.phase === "live" ? keep(world, target, wanted) : rollOut(world, target, older, wanted);
  return [...overtaken, ...changes];
}

/**
 * The live release: as many pods as asked, and none of any other release but those that are held. Where one
 * of those serves, none is made in its stead, and none that is live goes for it.
 */
function keep(world: World, served: ReleaseView, wanted: readonly PodView[]): readonly Change[] {
  const held = heldPods(world, served, wanted);
  const { own, others } = split(without(wanted, held), served);
  const serves = held.filter((pod) => servesOn(world, served, pod));
  const lacking = Math.max(0, served.replicas - own.length);
  const live = { ...served, replicas: served.replicas - Math.min(lacking, serves.length) };
  const missing = live.replicas - own.length;
  const back = takenBack(world, live, others, missing);
  const old = without(others, back);
  const kept = [...own, ...back.map((pod) => ({ ...pod, release: live.id }))];
  const serving = heardFirst(
    world,
    old.filter((pod) => servesOn(world, live, pod)),
  );
  const coming = kept.filter((pod) => isComing(world, live, pod)).length;
  const needed = coming + Math.max(0, live.replicas - kept.length);
  const beside = serving.slice(0, needed);
  const leaving = without(old, beside);
  const changes = keepRunning(world, live, kept, { beside, leaving });
  const isRoomComing = endingPods(world).length > 0 || leaving.length > 0;
  const stuck = !isRoomComing && changes.some((it) => it.kind === "wait");
  const first = stuck ? makesRoom(world, live, { kept, beside, held }) : undefined;
  const gone = first ? [first] : leaving;
  return [
    ...back.map((pod) => adopt(pod, live)),
    ...gone.map((pod) => remove(pod, ofItsNode(world, pod) ?? "old-release")),
    ...changes,
  ];
}

type Standing = Readonly<Record<"kept" | "beside" | "held", readonly PodView[]>>;

/** What goes for want of room: a held pod that serves nothing, else one of those that serve on. */
function makesRoom(
  world: World,
  live: ReleaseView,
  { kept, beside, held }: Standing,
): PodView | undefined {
  const idle = held.filter((pod) => !servesOn(world, live, pod));
  const inTheWay = standsInTheWay(world, live, idle, { room: true });
  const isNextComing = kept.some((pod) => !silentNode(world, pod) && isComing(world, live, pod));
  const isLast = [...kept, ...beside, ...held].filter(isReady).length <= 1;
  if (inTheWay || isNextComing || isLast || roomMayReturn(world)) return inTheWay;
  return standsInTheWay(world, live, beside, { room: true });
}

/**
 * What a failed release left that works: it goes when what comes in its place does, or for lack of room,
 * one by one, each once what came in the last one's place is ready, and never the last that serves.
 * That its node is silent proves nothing against it.
 */
function servesOn(world: World, live: ReleaseView, pod: PodView): boolean {
  return isReady(pod) && !isFenced(world, pod) && !(live.exclusive || pod.exclusive);
}

/**
 * A node is silent or not understood, and not given up: what serves is not taken away for want of the room
 * that it has.
 */
function roomMayReturn({ nodes, lost, nowMs }: World): boolean {
  return nodes.some((it) => isUnheard(it, nowMs) && !it.fenced && !lost.has(it.id));
}

function heardFirst(world: World, pods: readonly PodView[]): readonly PodView[] {
  const doubt = (pod: PodView) => Number(silentNode(world, pod) !== undefined);
  return pods.toSorted((a, b) => doubt(a) - doubt(b));
}

/** It is not proven, and may be yet: it is new, or its node comes back, or others are made in its place. */
function isComing(world: World, live: ReleaseView, pod: PodView): boolean {
  if (isProven(world, live, pod) || isOver(pod)) return false;
  return silentNode(world, pod) !== undefined || !isHopeless(world, live, pod);
}

function rollOut(
  world: World,
  target: ReleaseView,
  older: readonly ReleaseView[],
  wanted: readonly PodView[],
): readonly Change[] {
  const served = older.find((it) => it.phase === "live");
  const lost = wanted.filter((pod) => isGone(world, target, pod));
  const { own, others } = split(without(wanted, lost), target);
  const failure = failureOf(world, target, own);
  if (failure)
    return [...leaveBehind(world, lost), ...giveUp(world, target, served, own, others, failure)];
  const taken = takenOver(world, target, others, target.replicas - own.length);
  const fresh = [...own, ...taken.map((pod) => ({ ...pod, release: target.id }))];
  const started: Change[] = target.phase === "built" ? [{ kind: "roll", release: target.id }] : [];
  const rollout = {
    target,
    served,
    limit: Math.max(target.replicas, served?.replicas ?? 0) + target.maxSurge,
    fresh,
    proven: fresh.filter((pod) => isProven(world, target, pod)),
    old: without(others, taken),
  };
  const complete = rollout.proven.length >= target.replicas;
  const exclusive = target.exclusive || rollout.old.some((pod) => pod.exclusive);
  const changes = complete
    ? takePlace(rollout)
    : exclusive
      ? recreate(world, rollout, lost)
      : goOn(world, rollout);
  return [
    ...leaveBehind(world, lost),
    ...taken.map((pod) => adopt(pod, target)),
    ...started,
    ...changes,
    ...(complete ? [] : waitsForAgents(world, target, fresh, changes)),
  ];
}

/** Pods that a rollout goes on without: those that a person said are off, and new ones of which nothing comes. */
function isGone(world: World, target: ReleaseView, pod: PodView): boolean {
  if (isOver(pod)) return false;
  if (isFenced(world, pod)) return true;
  return pod.release === target.id && !target.exclusive && world.lost.has(pod.node);
}

function leaveBehind(world: World, lost: readonly PodView[]): readonly Change[] {
  return lost.map((pod) => remove(pod, ofItsNode(world, pod) ?? "node-lost"));
}

/** Why its node, and no release, is what a pod has to leave for. */
function ofItsNode(world: World, pod: PodView): RemovalReason | undefined {
  return isFenced(world, pod) ? "node-fenced" : displaced(world, pod);
}

function takePlace({ target, served, old }: Rollout): readonly Change[] {
  return [
    { kind: "go-live", release: target.id },
    ...(served ? [{ kind: "retire", release: served.id } as const] : []),
    ...old.map((pod) => remove(pod, "old-release")),
  ];
}

function goOn(world: World, rollout: Rollout): readonly Change[] {
  const { target, served, limit, fresh, old } = rollout;
  const missing = target.replicas - fresh.length;
  const placed = placeWithin(world, target, { missing, limit }, [...fresh, ...old], []);
  const back = servedAgain(world, served, old);
  const restored = { ...rollout, old: [...without(old, back), ...back] };
  const gone = leaving(world, restored);
  const stuck = gone.length === 0 && placed[0]?.kind === "wait";
  const first = stuck ? leavingFirst(world, restored) : undefined;
  return [
    ...without(back, gone).map((pod) => adopt(pod, { id: pod.release })),
    ...gone.map((pod) => remove(pod, "old-release")),
    ...(first ? [remove(first, "in-the-way")] : []),
    ...placed,
  ];
}

/** Pods of overtaken releases that are what the live release lacks, as pods of that one. */
function servedAgain(
  world: World,
  served: ReleaseView | undefined,
  old: readonly PodView[],
): readonly PodView[] {
  if (!served) return [];
  const { own, others } = split(old, served);
  const back = takenBack(world, served, others, served.replicas - own.length);
  return back.map((pod) => ({ ...pod, release: served.id }));
}

/**
 * What the failed release took over serves on in the one before it. What it made goes, once it is not needed,
 * or is held.
 */
function giveUp(
  world: World,
  target: ReleaseView,
  served: ReleaseView | undefined,
  own: readonly PodView[],
  others: readonly PodView[],
  failure: Failure,
): readonly Change[] {
  const fail: Change = { kind: "fail", release: target.id, failure };
  const after = { ...world, held: target.autoRevert ? undefined : target.id };
  const kept = served ? split(others, served).own.length : 0;
  const back = served ? takenBack(world, served, own, served.replicas - kept) : [];
  const left = without(served ? own : [...own, ...others], back);
  const staying = [
    ...heldPods(after, served, left),
    ...left.filter((pod) => served && servesOn(world, served, pod)),
  ];
  return [
    fail,
    ...(served ? back.map((pod) => adopt(pod, served)) : []),
    ...without(left, staying).map((pod) => remove(pod, "release-failed")),
  ];
}

function split(pods: readonly PodView[], { id }: ReleaseView) {
  return {
    own: pods.filter((pod) => pod.release === id),
    others: pods.filter((pod) => pod.release !== id),
  };
}

function without(pods: readonly PodView[], some: readonly PodView[]): readonly PodView[] {
  const ids = new Set(some.map((pod) => pod.id));
  return pods.filter((pod) => !ids.has(pod.id));
}

function adopt(pod: PodView, { id }: Pick<ReleaseView, "id">): Change {
  return { kind: "adopt", pod: pod.id, release: id };
}

function remove(pod: PodView, because: RemovalReason): Change {
  return { kind: "remove", pod: pod.id, because };
}
