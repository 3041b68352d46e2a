import { silence } from "../../contract/placement/filter.ts";
import type { Failure } from "../../db/schema/core.ts";
import { endingPods, hasSucceeded, isProven, isReady, silentNode } from "./condition.ts";
import { type Diagnosis, diagnose } from "./diagnose.ts";
import { mustEndFirst } from "./keep.ts";
import { place, refusal } from "./place.ts";
import { describeUnready } from "./unready.ts";
import { untold } from "./untold.ts";
import type { PodView, ReleaseView, World } from "./world.ts";

/**
 * A spec that is refused, proof from what was seen of a release's pods, or a deadline without progress;
 * else undefined. Pure.
 */
export function failureOf(
  world: World,
  target: ReleaseView,
  fresh: readonly PodView[],
): Failure | undefined {
  if (target.refused !== undefined)
    return { slug: "spec-refused", message: refusal(target.refused), log: [] };
  for (const { seen } of fresh) {
    const diagnosis = seen && diagnose(seen.status, target);
    if (diagnosis) return { ...diagnosis, log: seen.status.logTail };
  }
  const unproven = fresh.filter((pod) => !isProven(world, target, pod));
  if (target.phase !== "rolling" || fresh.length - unproven.length >= target.replicas)
    return undefined;
  const spentMs = spentTime(world, target, fresh);
  if (spentMs === undefined) return undefined;
  return overdue(world, target, fresh, unproven[0], `within ${spentMs / 1000} s`);
}

function overdue(
  world: World,
  target: ReleaseView,
  fresh: readonly PodView[],
  stuck: PodView | undefined,
  within: string,
): Failure {
  const ending = awaited(world, target);
  if (!stuck && ending) {
    const message = `there was no room ${within}: pod ${ending.name}, which leaves, has not ended`;
    return { slug: "no-room", message, log: [] };
  }
  if (!stuck) {
    const [found] = place(world, target, 1, fresh);
    const why = found?.kind === "wait" ? found.why : "there was room too late";
    return { slug: "no-room", message: `no node could take the pod ${within}: ${why}`, log: [] };
  }
  const { slug, message } = ofItsNode(world, stuck) ?? describeUnready(stuck.seen?.status);
  return {
    slug,
    message: `not ready ${within}: ${message}`,
    log: stuck.seen?.status.logTail ?? [],
  };
}

/** What is not the pod's own fault. */
function ofItsNode(world: World, pod: PodView): Diagnosis | undefined {
  const skewed = untold(world, pod);
  if (skewed !== undefined) return { slug: "node-incompatible", message: `it waits for ${skewed}` };
  const silent = silentNode(world, pod);
  if (!silent) return undefined;
  return { slug: "node-silent", message: `its node ${silent.name} is ${silence(silent)}` };
}

/**
 * The time that the rollout was given, once it is over. Each pod that is made or becomes ready gives it
 * another deadline, but no pod twice: one that comes and goes does not keep the release without an end.
 * While it only waits for old pods to end, no deadline but the whole one runs, which has as long as each of
 * them may take.
 */
function spentTime(
  world: World,
  target: ReleaseView,
  fresh: readonly PodView[],
): number | undefined {
  const { nowMs, releases } = world;
  const { phaseAtMs, progressDeadlineMs, replicas } = target;
  const progress = fresh.flatMap((pod) => [
    pod.createdAtMs,
    isReady(pod) || hasSucceeded(pod) ? (pod.seen?.sinceMs ?? 0) : 0,
  ]);
  const isOverdue = nowMs - Math.max(phaseAtMs, ...progress) >= progressDeadlineMs;
  if (isOverdue && !onlyWaits(world, target, fresh)) return progressDeadlineMs;
  const graceMs = Math.max(...releases.map((it) => it.graceMs));
  const longestMs = (progressDeadlineMs + graceMs) * replicas;
  return nowMs - phaseAtMs >= longestMs ? longestMs : undefined;
}

/** All of its pods work, and others come once old ones have ended, or now that they have. */
function onlyWaits(world: World, target: ReleaseView, fresh: readonly PodView[]): boolean {
  if (!fresh.every((pod) => isProven(world, target, pod))) return false;
  return (
    awaited(world, target) !== undefined || place(world, target, 1, fresh)[0]?.kind === "place"
  );
}

function awaited(world: World, target: ReleaseView): PodView | undefined {
  return endingPods(world)[0] ?? mustEndFirst(world, target);
}
