import type { PodId } from "../contract/ids.ts";
import type { ContainerStatus, PodStatus, ProbeSight } from "../contract/node-protocol.ts";
import type { SeenContainer, SeenSandbox } from "./observe.ts";
import { restartAtMs, type Setback, type Step, type WantedPod } from "./plan.ts";
import type { Verdict } from "./probes/verdict.ts";

export type Sight = {
  readonly wanted: readonly WantedPod[];
  /** Whether pods that are not wanted are being taken away. */
  readonly leaving: boolean;
  /** Newest first. */
  readonly seen: readonly SeenSandbox[];
  readonly busy: ReadonlyMap<PodId, Step["do"]>;
  readonly setbacks: ReadonlyMap<PodId, Setback>;
  readonly verdicts: ReadonlyMap<string, Verdict>;
  /** Pods that should be reachable through the ingress and are not yet. */
  readonly unrouted: ReadonlySet<PodId>;
  readonly nowMs: number;
};

const REASON_CHARS = 500;
const MESSAGE_CHARS = 2_000;

/** The status of every pod that is wanted or still here, without the log tails. Pure. */
export function podStatuses(sight: Sight): readonly PodStatus[] {
  const byPod = Map.groupBy(sight.seen, (it) => it.pod);
  const wanted = new Map(sight.wanted.map((it) => [it.pod.metadata.uid, it]));
  const others = [...byPod].filter(([uid]) => !wanted.has(uid));
  return [
    ...[...wanted].map(([uid, it]) => wantedStatus(it, byPod.get(uid)?.[0], sight)),
    ...others.map(([uid, [sandbox]]) => unwantedStatus(uid, sandbox, sight.leaving)),
  ];
}

/** Whether the words of its container would help to understand it. */
export function needsLogTail(status: PodStatus): boolean {
  if (status.ready || status.phase === "Terminating") return false;
  return status.probe !== undefined || status.containers.some((it) => it.exitCode !== undefined);
}

/** The parts of a status that somebody waits for; the others may come a second later. Pure. */
export function urgentPart(statuses: readonly PodStatus[]): string {
  return JSON.stringify(
    statuses.map(({ logTail, probe, ...status }) => ({ ...status, probed: probe?.status })),
  );
}

function wantedStatus(
  { pod, fingerprint }: WantedPod,
  sandbox: SeenSandbox | undefined,
  sight: Sight,
): PodStatus {
  const { uid } = pod.metadata;
  const current = sandbox?.fingerprint === fingerprint && sandbox.ready ? sandbox : undefined;
  const setback = sight.setbacks.get(uid);
  const seen = pod.spec.containers.map(({ name }) => ({
    name,
    container: current?.containers.find((it) => it.name === name),
  }));
  const verdicts = seen.map((it) => it.container && sight.verdicts.get(it.container.id));
  const running = seen.every((it) => it.container?.state === "running");
  const removed = sight.busy.get(uid) === "remove-sandboxes";
  const healthy = running && !removed && verdicts.every((it) => it?.readiness === "ready");
  const ready = healthy && !sight.unrouted.has(uid);
  const probe = ready ? undefined : verdicts.find((it) => it?.sight)?.sight;
  const reason =
    healthy && !ready ? "the ingress does not send requests to it yet" : setback?.message;
  return {
    pod: uid,
    phase: current && seen.some((it) => it.container?.state === "running") ? "Running" : "Pending",
    ready,
    restarts: Math.max(0, ...seen.map((it) => it.container?.restarts ?? 0)),
    containers: seen.map((it) => containerStatus(it.name, it.container, setback, sight.nowMs)),
    logTail: [],
    ...(current?.ip !== undefined && { ip: current.ip }),
    ...(!ready && reason !== undefined && { reason: reason.slice(0, REASON_CHARS) }),
    ...(probe && { probe: probe satisfies ProbeSight }),
  };
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

function containerStatus(
  name: string,
  container: SeenContainer | undefined,
  setback: Setback | undefined,
  nowMs: number,
): ContainerStatus {
  const restarts = container?.restarts ?? 0;
  if (container?.state === "running") {
    const startedAtMs = container.detail?.startedAtMs;
    const startedAt = startedAtMs && new Date(startedAtMs).toISOString();
    return { name, state: "running", restarts, ...(startedAt && { startedAt }) };
  }
  const ended = container?.detail && container.state !== "created";
  if (!container || !ended || setback) {
    return {
      name,
      state: "waiting",
      restarts,
      reason: (setback?.reason ?? reasonToWait(container)).slice(0, 200),
      ...(setback && { message: setback.message.slice(0, MESSAGE_CHARS) }),
    };
  }
  return endedStatus(name, container, nowMs);
}

/** One that was started and is neither known to run nor how it ended is one that the runtime does not tell about. */
function reasonToWait(container: SeenContainer | undefined): string {
  const made = container !== undefined && container.state !== "created";
  return made ? "ContainerStatusUnknown" : "ContainerCreating";
}

/** The first end is told as such; a container that goes on ending is in a crash loop, out of memory aside. */
function endedStatus(name: string, container: SeenContainer, nowMs: number): ContainerStatus {
  const { detail, restarts, crashes } = container;
  const cause = detail?.reason || (detail?.exitCode === 0 ? "Completed" : "Error");
  const looping = crashes > 0 && cause !== "OOMKilled";
  const waitSeconds = Math.max(0, Math.ceil((restartAtMs(container) - nowMs) / 1_000));
  const words = [
    `${cause}: it ended with exit code ${detail?.exitCode}`,
    ...(detail?.message ? [detail.message] : []),
    ...(waitSeconds > 0 ? ["it is started again after a pause"] : []),
  ];
  return {
    name,
    state: looping ? "waiting" : "exited",
    restarts,
    reason: looping ? "CrashLoopBackOff" : cause.slice(0, 200),
    message: words.join("; ").slice(0, MESSAGE_CHARS),
    ...(detail && { exitCode: detail.exitCode }),
  };
}
