import type { PodId } from "../../contract/ids.ts";
import type {
  ContainerStatus,
  PodStatus,
  ProbeFailure,
  ProbeSight,
  Usage,
} from "../../contract/node/protocol.ts";
import type { PodOutcome } from "../disk/outcomes.ts";
import type { SeenSandbox } from "../observe.ts";
import type { Setback } from "../plan/backoff.ts";
import type { WantedPod } from "../plan/plan.ts";
import { dueStarts, type Standing, standingsOf } from "../plan/plan-containers.ts";
import {
  deadOnes,
  endedForGood,
  isDone,
  isPodReady,
  isReady,
  type Verdicts,
} from "../plan/readiness.ts";
import { containerStatus } from "./report-container.ts";
import { cut } from "./words.ts";

export type Sight = {
  readonly wanted: readonly WantedPod[];
  /** Whether pods that are not wanted are being taken away. */
  readonly leaving: boolean;
  /** Newest first. */
  readonly seen: readonly SeenSandbox[];
  readonly outcomes: ReadonlyMap<PodId, PodOutcome>;
  /**
   * Pods with a step under way. Each of them is here until that has ended: a sandbox in the making is in
   * no list, and whoever reads that a pod is not here may start it elsewhere.
   */
  readonly busy: ReadonlySet<PodId>;
  /** Sandboxes that are being taken away, by id. */
  readonly departing: ReadonlySet<string>;
  readonly setbacks: ReadonlyMap<PodId, Setback>;
  readonly verdicts: Verdicts;
  /** The last questions that went wrong, of a container's starts together. */
  readonly failuresOf: (uid: PodId, container: string) => readonly ProbeFailure[];
  /** By container id. */
  readonly usage: ReadonlyMap<string, Usage>;
  /** Pods that should be reachable through the ingress and are not yet. */
  readonly unrouted: ReadonlySet<PodId>;
  readonly nowMs: number;
};

const REASON_CHARS = 500;

/** The status of every pod that is wanted or may be here, without the log tails. Pure. */
export function podStatuses(sight: Sight): readonly PodStatus[] {
  const byPod = Map.groupBy(sight.seen, (it) => it.pod);
  const wanted = new Map(sight.wanted.map((it) => [it.pod.metadata.uid, it]));
  const others = [...new Set([...byPod.keys(), ...sight.busy])].filter((uid) => !wanted.has(uid));
  return [
    ...[...wanted].map(([uid, it]) => wantedStatus(it, byPod.get(uid) ?? [], sight)),
    ...others.map((uid) => unwantedStatus(uid, byPod.get(uid)?.[0], sight.leaving)),
  ];
}

/** The container whose last words would help to understand why a pod is not ready, if any would. */
export function containerAtFault(status: PodStatus): string | undefined {
  if (status.ready || status.phase === "Terminating") return undefined;
  const ended = status.containers.filter((it) => it.exitCode !== undefined && !wentWell(it));
  const guilty = ended.find((it) => it.exitCode !== 0) ?? ended[0];
  if (guilty) return guilty.name;
  if (!status.probe) return undefined;
  const working = status.containers.filter((it) => it.kind !== "init" && it.state === "running");
  return (working.find((it) => !it.ready) ?? working[0])?.name;
}

/** The parts of a status that somebody waits for; the others may come a second later. Pure. */
export function urgentPart(statuses: readonly PodStatus[]): string {
  return JSON.stringify(
    statuses.map(({ logTail, probe, containers, ...status }) => ({
      ...status,
      probed: probe?.status,
      containers: containers.map(({ usage, probeFailures, ...it }) => it),
    })),
  );
}

function wentWell({ kind, exitCode, state, reason }: ContainerStatus): boolean {
  return exitCode === 0 && (kind === "init" || (state === "exited" && reason === "Completed"));
}

function wantedStatus(
  wanted: WantedPod,
  sandboxes: readonly SeenSandbox[],
  sight: Sight,
): PodStatus {
  const { pod, fingerprint } = wanted;
  const { uid } = pod.metadata;
  const outcome = sight.outcomes.get(uid);
  if (outcome?.fingerprint === fingerprint) {
    // As with Kubernetes it is over once its sidecars have ended, too: they may hold its volume until then.
    const isEnding = sandboxes.some((it) => it.containers.some((c) => c.state === "running"));
    return isEnding ? { ...outcome.status, phase: "Running" } : outcome.status;
  }
  const own = sandboxes.filter((it) => it.fingerprint === fingerprint);
  const current = own.find((it) => it.ready);
  const standings = standingsOf(pod, current, deadOnes(own));
  const containers = containerStatuses(wanted, standings, sight);
  const stays = current !== undefined && !sight.departing.has(current.id);
  const healthy = stays && isPodReady(pod, current, sight.verdicts);
  const ready = healthy && !sight.unrouted.has(uid);
  const probe = ready ? undefined : probeSight(standings, sight.verdicts);
  const reason = healthy && !ready ? "the ingress does not send requests to it yet" : undefined;
  const why = reason ?? sight.setbacks.get(uid)?.message;
  return {
    pod: uid,
    name: pod.metadata.name,
    phase: hasStarted(standings) ? "Running" : "Pending",
    ready,
    restarts: Math.max(0, ...containers.map((it) => it.restarts)),
    containers: [...containers],
    logTail: [],
    ...(current?.ip !== undefined && { ip: current.ip }),
    ...(!ready && why !== undefined && { reason: cut(why, REASON_CHARS) }),
    ...(probe && { probe }),
  };
}

/** As Kubernetes says `Running`: every main container was started, whatever became of it. */
function hasStarted(standings: readonly Standing[]): boolean {
  return standings.every(
    ({ kind, last }) => kind !== "main" || (last !== undefined && last.state !== "created"),
  );
}

/** Of a pod that nobody told about it is only known whether it runs: nobody said what makes it ready. */
function unwantedStatus(uid: PodId, sandbox: SeenSandbox | undefined, leaving: boolean): PodStatus {
  const runs = sandbox?.ready && sandbox.containers.some((it) => it.state === "running");
  return {
    pod: uid,
    phase: leaving ? "Terminating" : runs ? "Running" : "Pending",
    ready: false,
    restarts: 0,
    containers: [],
    logTail: [],
    ...(sandbox?.ip !== undefined && { ip: sandbox.ip }),
  };
}

function containerStatuses(
  { pod }: WantedPod,
  standings: readonly Standing[],
  sight: Sight,
): readonly ContainerStatus[] {
  const { uid } = pod.metadata;
  const policy = pod.spec.restartPolicy;
  // Whose turn it is does not depend on when: one that waits for its back-off has its turn.
  const due = dueStarts(standings, policy, sight.verdicts, Number.POSITIVE_INFINITY);
  const turns = new Set(due.map((it) => it.container.name));
  return standings.map((it) => {
    const { container, kind, last, past } = it;
    const done = last !== undefined && isDone(kind, policy, last);
    return containerStatus({
      role: it,
      seen: last,
      restarts: (last ?? past)?.restarts ?? 0,
      ready: kind === "init" ? done : isReady(it, last, sight.verdicts),
      over: last !== undefined && endedForGood(kind, policy, last),
      turn: turns.has(container.name),
      setback: sight.setbacks.get(uid),
      failures: sight.failuresOf(uid, container.name),
      usage: last && sight.usage.get(last.id),
      nowMs: sight.nowMs,
    });
  });
}

/** What the first one heard that is not ready; of a pod that only the ingress keeps waiting, any. */
function probeSight(standings: readonly Standing[], verdicts: Verdicts): ProbeSight | undefined {
  const sights = standings
    .map((it) => ({ ready: isReady(it, it.last, verdicts), last: it.last }))
    .map(({ ready, last }) => ({ ready, sight: last && verdicts.get(last.id)?.sight }))
    .filter((it) => it.sight !== undefined);
  return (sights.find((it) => !it.ready) ?? sights[0])?.sight;
}
