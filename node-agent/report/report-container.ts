import type { ContainerStatus, ProbeFailure, Usage } from "../../contract/node/protocol.ts";
import type { SeenContainer } from "../observe.ts";
import { restartAtMs, type Setback } from "../plan/backoff.ts";
import type { Role } from "../plan/kinds.ts";
import { isUp } from "../plan/readiness.ts";
import { cut } from "./words.ts";

/** What there is to say of one container of a wanted pod. */
export type ContainerSight = {
  readonly role: Role;
  /** Its last start in the sandbox that lives. */
  readonly seen: SeenContainer | undefined;
  readonly restarts: number;
  readonly ready: boolean;
  /** It ended and is not started again. */
  readonly over: boolean;
  /** Its turn has come: everything that starts before it is done or up. */
  readonly turn: boolean;
  /** Why the pod's last start failed. */
  readonly setback: Setback | undefined;
  readonly failures: readonly ProbeFailure[];
  readonly usage: Usage | undefined;
  readonly nowMs: number;
};

const REASON_CHARS = 200;
const MESSAGE_CHARS = 2_000;
/** A shell and the runtime tell a signal as an exit code above this one. */
const SIGNAL_BASE = 128;
const LAST_SIGNAL = 64;

/** One container as Kubernetes would tell of it. Pure. */
export function containerStatus(sight: ContainerSight): ContainerStatus {
  const { role, seen, restarts, ready, failures, usage } = sight;
  return {
    name: role.container.name,
    kind: role.kind,
    ready,
    restarts,
    probeFailures: [...failures],
    ...stateOf(sight),
    ...(seen && times(seen)),
    ...(usage && seen?.state === "running" && { usage }),
  };
}

/** A container that was stopped because its pod is over; how it took that does not matter. */
export function stoppedStatus(sight: ContainerSight): ContainerStatus {
  return {
    ...containerStatus(sight),
    state: "exited",
    reason: "Completed",
    message: "it was stopped when the pod was over",
  };
}

/** Kubernetes' word for an end: out of memory is the runtime's to tell, and the rest the exit code's. */
export function endReason({ detail }: SeenContainer): string {
  if (detail?.exitCode === 0) return "Completed";
  return cut(detail?.reason || "Error", REASON_CHARS);
}

type State = Pick<ContainerStatus, "state" | "exitCode" | "signal" | "reason" | "message">;

function stateOf(sight: ContainerSight): State {
  const { role, seen, setback, over } = sight;
  if (isUp(role, seen)) return { state: "running" };
  const ended = seen?.state === "exited" && seen.detail !== undefined;
  if (ended && over) return endedState(seen, sight);
  if (setback && sight.turn) {
    return {
      state: "waiting",
      reason: cut(setback.reason, REASON_CHARS),
      message: cut(setback.message, MESSAGE_CHARS),
      ...(ended && exitOf(seen)),
    };
  }
  return ended ? endedState(seen, sight) : { state: "waiting", reason: reasonToWait(sight) };
}

/** One that was started and is neither known to run nor how it ended is one that the runtime does not tell about. */
function reasonToWait({ seen, turn }: ContainerSight): string {
  if (seen?.state === "running") return "ContainerCreating";
  if (seen && seen.state !== "created") return "ContainerStatusUnknown";
  return turn ? "ContainerCreating" : "PodInitializing";
}

/** The first end is told as such; a container that goes on ending is in a crash loop, out of memory aside. */
function endedState(seen: SeenContainer, { over, nowMs }: ContainerSight): State {
  const cause = endReason(seen);
  const looping = !over && seen.crashes > 0 && cause !== "OOMKilled";
  const waits = !over && restartAtMs(seen, nowMs) > nowMs;
  const words = [
    `${cause}: it ended with exit code ${seen.detail?.exitCode}`,
    ...(seen.detail?.message ? [seen.detail.message] : []),
    ...(waits ? ["it is started again after a pause"] : []),
  ];
  return {
    state: looping ? "waiting" : "exited",
    reason: looping ? "CrashLoopBackOff" : cause,
    message: cut(words.join("; "), MESSAGE_CHARS),
    ...exitOf(seen),
  };
}

function exitOf({ detail }: SeenContainer): Pick<ContainerStatus, "exitCode" | "signal"> {
  if (!detail) return {};
  const { exitCode } = detail;
  const signal = exitCode - SIGNAL_BASE;
  return { exitCode, ...(signal > 0 && signal <= LAST_SIGNAL && { signal }) };
}

function times({ detail }: SeenContainer): Pick<ContainerStatus, "startedAt" | "finishedAt"> {
  return {
    ...(detail && detail.startedAtMs > 0 && { startedAt: isoTime(detail.startedAtMs) }),
    ...(detail && detail.finishedAtMs > 0 && { finishedAt: isoTime(detail.finishedAtMs) }),
  };
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}
