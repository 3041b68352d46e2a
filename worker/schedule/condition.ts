import { agentSkew } from "../../contract/node/skew.ts";
import { isUnheard, silence } from "../../contract/placement/filter.ts";
import { type NodeView, nodeOf } from "../../contract/placement/node-view.ts";
import type { PodView, ReleaseView, World } from "./world.ts";

/* What was seen of a pod, in the words that the plan asks. */

export function isReady(pod: PodView): boolean {
  return pod.seen?.status.ready === true;
}

/** It did what it was there for, and is not run again. */
export function hasSucceeded(pod: PodView): boolean {
  return pod.seen?.status.phase === "Succeeded";
}

/** It is over, and not as it should be; it is not run again. */
export function hasFailed(pod: PodView): boolean {
  return pod.seen?.status.phase === "Failed";
}

/** The pod's node, where its last word proves nothing: it is silent for too long, or not understood. */
export function silentNode(
  { nodes, nowMs }: Pick<World, "nodes" | "nowMs">,
  pod: PodView,
): NodeView | undefined {
  const node = nodeOf(nodes, pod.node);
  return node && isUnheard(node, nowMs) ? node : undefined;
}

/**
 * In words, the node that cannot be made to end the pod now: it is not heard of, or does not take what it is
 * told. Whatever must not stand beside the pod has to wait for that node, or for a person.
 */
export function deafNode(world: Pick<World, "nodes" | "nowMs">, pod: PodView): string | undefined {
  const node = nodeOf(world.nodes, pod.node);
  if (!node) return undefined;
  if (isUnheard(node, world.nowMs)) return `node ${node.name}, which is ${silence(node)}`;
  const skew = agentSkew(node.protocol);
  if (skew !== undefined) return `node ${node.name}: ${skew}`;
  return node.astray === "ahead"
    ? `node ${node.name}, which is ahead of the database: it has to be reconciled`
    : undefined;
}

/** It is over, and not run again: it needs no other place. */
export function isOver(pod: PodView): boolean {
  return hasSucceeded(pod) || hasFailed(pod);
}

export function isFenced({ nodes }: Pick<World, "nodes">, pod: PodView): boolean {
  return nodeOf(nodes, pod.node)?.fenced === true;
}

/** Not known to have ended, though it should: only its node's own word, or a person's, ends it. */
export function mayStillRun(world: World, pod: PodView): boolean {
  return !isOver(pod) && !isFenced(world, pod);
}

/** What an agent needs beside a pod's own time to end it: to be told, and to let its requests come to an end. */
const ENDING_MS = 60_000;

/**
 * Pods that leave and still run, as far as anybody knows. Not those on silent nodes, nor those that have
 * had their time: nobody knows when they end, and no other pod waits for that unless it must not stand
 * beside them.
 */
export function endingPods(world: World): readonly PodView[] {
  return world.pods.filter((pod) => pod.wanted === "gone" && isEnding(world, pod));
}

/** The same of a pod that is told to leave only now. */
export function isEnding(world: World, pod: PodView): boolean {
  const { goneAtMs = world.nowMs, graceMs } = pod;
  if (!mayStillRun(world, pod) || silentNode(world, pod)) return false;
  return world.nowMs - goneAtMs < graceMs + ENDING_MS;
}

/** Whether the pod proves that its release works. What is over stays so, also on a silent node. */
export function isProven(world: World, release: ReleaseView, pod: PodView): boolean {
  if (hasSucceeded(pod)) return true;
  return isReady(pod) && !silentNode(world, pod) && settlesInMs(world, release, pod) <= 0;
}

/**
 * It is not ready, and has not been for as long as a rollout would wait for it. One of which its node has
 * not said anything yet may not even be told there.
 */
export function isHopeless(
  { nowMs }: World,
  { progressDeadlineMs }: ReleaseView,
  pod: PodView,
): boolean {
  if (isReady(pod) || hasSucceeded(pod)) return false;
  if (hasFailed(pod)) return true;
  return pod.seen !== undefined && nowMs - pod.seen.sinceMs >= progressDeadlineMs;
}

/** When time alone may turn a ready pod of the newest release into a proven one, in ms; else undefined. */
export function nextProofMs(world: World): number | undefined {
  const newest = world.releases.toSorted((a, b) => b.number - a.number)[0];
  if (!newest) return undefined;
  const waits = world.pods
    .filter((pod) => pod.release === newest.id && pod.wanted === "run" && isReady(pod))
    .map((pod) => settlesInMs(world, newest, pod))
    .filter((it) => it > 0);
  return waits.length === 0 ? undefined : Math.min(...waits);
}

function settlesInMs({ nowMs }: World, { settleMs }: ReleaseView, { seen }: PodView): number {
  return (seen?.sinceMs ?? nowMs) + settleMs - nowMs;
}

/** What serves first, then what has served, then what may yet; of equals, the one that is there for longer. */
export function bestFirst(pods: readonly PodView[]): readonly PodView[] {
  return pods.toSorted(
    (a, b) => worth(a) - worth(b) || a.createdAtMs - b.createdAtMs || (a.id < b.id ? -1 : 1),
  );
}

/** Less is better. */
export function worth(pod: PodView): number {
  return [isReady(pod), hasSucceeded(pod), !hasFailed(pod), true].indexOf(true);
}
