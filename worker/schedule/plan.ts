import type { NodeId, PodId, ReleaseId } from "../../contract/ids.ts";
import type { Failure } from "../../db/schema.ts";
import { describeUnready, diagnose } from "./diagnose.ts";
import { canTake, isSilent, silence, withPod } from "./filter.ts";
import { best } from "./score.ts";
import type { NodeView, PodView, ReleaseView, World } from "./world.ts";

export type RemovalReason = "app-deleted" | "old-release" | "release-failed" | "surplus";

export type Change =
  | { readonly kind: "place"; readonly release: ReleaseId; readonly node: NodeId }
  | { readonly kind: "remove"; readonly pod: PodId; readonly because: RemovalReason }
  | { readonly kind: "wait"; readonly release: ReleaseId; readonly why: string }
  | { readonly kind: "roll"; readonly release: ReleaseId }
  | { readonly kind: "go-live"; readonly release: ReleaseId }
  | { readonly kind: "retire"; readonly release: ReleaseId }
  | { readonly kind: "supersede"; readonly release: ReleaseId; readonly by: number }
  | { readonly kind: "cancel"; readonly release: ReleaseId }
  | { readonly kind: "fail"; readonly release: ReleaseId; readonly failure: Failure };

/**
 * What to change so that the app's newest built release runs with the pods it asks for.
 *
 * Pure, and a fixed point: applied to the world it asks for, it returns nothing but `wait`s. A pod of
 * the old release goes only when enough others are ready, so a rollout never serves with fewer ready
 * pods than it found or than are asked for; a release that is proven bad fails and leaves the one
 * before it as it is.
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
  if (!target) return wanted.map((pod) => remove(pod, "release-failed"));
  const overtaken = older
    .filter((it) => it.phase !== "live")
    .map((it): Change => ({ kind: "supersede", release: it.id, by: target.number }));
  const changes =
    target.phase === "live" ? keep(world, target, wanted) : rollOut(world, target, older, wanted);
  return [...overtaken, ...changes];
}

/** The live release: as many pods as asked, and none of any other release. */
function keep(world: World, live: ReleaseView, wanted: readonly PodView[]): readonly Change[] {
  const own = wanted.filter((pod) => pod.release === live.id);
  const others = wanted.filter((pod) => pod.release !== live.id);
  const missing = live.replicas - own.length;
  return [
    ...others.map((pod) => remove(pod, "old-release")),
    ...worstFirst(own)
      .slice(0, Math.max(0, -missing))
      .map((pod) => remove(pod, "surplus")),
    ...place(world, live, missing, wanted),
  ];
}

function rollOut(
  world: World,
  target: ReleaseView,
  older: readonly ReleaseView[],
  wanted: readonly PodView[],
): readonly Change[] {
  const fresh = wanted.filter((pod) => pod.release === target.id);
  const old = wanted.filter((pod) => pod.release !== target.id);
  const proven = fresh.filter((pod) => isReady(pod) && !silentNode(world, pod));
  const failure = failureOf(world, target, fresh, proven);
  if (failure) {
    return [
      { kind: "fail", release: target.id, failure },
      ...fresh.map((pod) => remove(pod, "release-failed")),
    ];
  }
  const started: Change[] = target.phase === "built" ? [{ kind: "roll", release: target.id }] : [];
  if (proven.length >= target.replicas) {
    return [
      ...started,
      { kind: "go-live", release: target.id },
      ...older
        .filter((it) => it.phase === "live")
        .map((it): Change => ({ kind: "retire", release: it.id })),
      ...old.map((pod) => remove(pod, "old-release")),
    ];
  }
  const served = older.find((it) => it.phase === "live");
  const limit = Math.max(target.replicas, served?.replicas ?? 0) + target.maxSurge;
  const missing = target.replicas - fresh.length;
  return [
    ...started,
    ...leaving(target, served, limit, { fresh, proven, old }).map((pod) =>
      remove(pod, "old-release"),
    ),
    ...place(world, target, Math.min(missing, limit - wanted.length), wanted),
  ];
}

/**
 * The old pods that go now: one for each new one that is proven ready; those of an overtaken release
 * that serve nothing; and one where they leave no room for the first new one. Unready ones go first,
 * and of the ready ones none that is needed to serve with as many as the new release asks for.
 */
function leaving(
  target: ReleaseView,
  served: ReleaseView | undefined,
  limit: number,
  { fresh, proven, old }: Readonly<Record<"fresh" | "proven" | "old", readonly PodView[]>>,
): readonly PodView[] {
  const isOvertaken = (pod: PodView) => pod.release !== served?.id;
  const overtakenFirst = old.toSorted((a, b) => Number(isOvertaken(b)) - Number(isOvertaken(a)));
  const unready = overtakenFirst.filter((pod) => !isReady(pod));
  const ready = overtakenFirst.filter(isReady);
  const spare = Math.max(0, proven.length + ready.length - target.replicas);
  const needed = Math.max(0, (served?.replicas ?? 0) - proven.length);
  const exchanged = proven.length > 0 ? old.length - needed : 0;
  const crowding = fresh.length === 0 ? 1 + old.length - limit : 0;
  const useless = unready.filter(isOvertaken).length;
  return [...unready, ...ready.slice(0, spare)].slice(0, Math.max(exchanged, crowding, useless));
}

/** Places up to `count` pods, each counted against its node for the next; says why where none fits. */
function place(
  world: World,
  release: ReleaseView,
  count: number,
  wanted: readonly PodView[],
): readonly Change[] {
  const changes: Change[] = [];
  const taken = wanted.filter((pod) => pod.release === release.id).map((pod) => pod.node);
  let nodes = world.nodes;
  for (let placed = 0; placed < count; placed++) {
    const verdicts = nodes.map((node) => ({
      node,
      verdict: canTake(node, release.requests, world.nowMs),
    }));
    const node = best(
      verdicts.filter((it) => it.verdict.fits).map((it) => it.node),
      taken,
    );
    if (!node) {
      const why = verdicts.flatMap(({ verdict }) => (verdict.fits ? [] : [verdict.why])).join("; ");
      return [
        ...changes,
        { kind: "wait", release: release.id, why: why || "no node has joined yet" },
      ];
    }
    changes.push({ kind: "place", release: release.id, node: node.id });
    taken.push(node.id);
    nodes = nodes.map((it) => (it.id === node.id ? withPod(it, release.requests) : it));
  }
  return changes;
}

/** Proof from what was seen of a new pod, or a deadline without progress; else undefined. */
function failureOf(
  world: World,
  target: ReleaseView,
  fresh: readonly PodView[],
  proven: readonly PodView[],
): Failure | undefined {
  for (const { seen } of fresh) {
    const diagnosis = seen && diagnose(seen.status);
    if (diagnosis) return { ...diagnosis, log: seen.status.logTail };
  }
  if (target.phase !== "rolling" || proven.length >= target.replicas) return undefined;
  const spentMs = spentTime(world, target, fresh);
  if (spentMs === undefined) return undefined;
  const within = `within ${spentMs / 1000} s`;
  const stuck = fresh.find((pod) => !proven.includes(pod));
  if (!stuck) {
    const why = place(world, target, 1, fresh).flatMap((it) =>
      it.kind === "wait" ? [it.why] : [],
    );
    return {
      slug: "no-room",
      message: `no node could take the pod ${within}: ${why.join("; ")}`,
      log: [],
    };
  }
  const silent = silentNode(world, stuck);
  const { slug, message } = silent
    ? { slug: "node-silent", message: `its node ${silent.name} is ${silence(silent)}` }
    : describeUnready(stuck.seen?.status);
  return {
    slug,
    message: `not ready ${within}: ${message}`,
    log: stuck.seen?.status.logTail ?? [],
  };
}

/**
 * The time that the rollout was given, once it is over. Each pod that becomes ready gives it another
 * deadline, but no pod twice: one that comes and goes does not keep the release without an end.
 */
function spentTime(
  { nowMs }: World,
  { phaseAtMs, progressDeadlineMs, replicas }: ReleaseView,
  fresh: readonly PodView[],
): number | undefined {
  const progress = fresh.filter(isReady).map((pod) => pod.seen?.sinceMs ?? 0);
  if (nowMs - Math.max(phaseAtMs, ...progress) >= progressDeadlineMs) return progressDeadlineMs;
  const longestMs = progressDeadlineMs * replicas;
  return nowMs - phaseAtMs >= longestMs ? longestMs : undefined;
}

function isReady(pod: PodView): boolean {
  return pod.seen?.status.ready === true;
}

/** The pod's node, where that has been silent for too long for its last word to prove anything. */
function silentNode({ nodes, nowMs }: World, pod: PodView): NodeView | undefined {
  return nodes.find((node) => node.id === pod.node && isSilent(node, nowMs));
}

/** Unready pods first, then by id, so that what serves is kept. */
function worstFirst(pods: readonly PodView[]): readonly PodView[] {
  return pods.toSorted((a, b) => Number(isReady(a)) - Number(isReady(b)) || (a.id < b.id ? -1 : 1));
}

function remove(pod: PodView, because: RemovalReason): Change {
  return { kind: "remove", pod: pod.id, because };
}
