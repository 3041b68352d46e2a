import type { ContainerStatus } from "../../contract/node/protocol.ts";
import type { Pod } from "../../contract/pod/pod.ts";
import type { PodOutcome } from "../disk/outcomes.ts";
import { containerStatus, endReason, stoppedStatus } from "../report/report-container.ts";
import { cut } from "../report/words.ts";
import type { Setback } from "./backoff.ts";
import type { WantedPod } from "./plan.ts";
import type { Standing } from "./plan-containers.ts";
import { endedForGood, isDone } from "./readiness.ts";

type Policy = Pod["spec"]["restartPolicy"];

const REASON_CHARS = 500;

/**
 * What is told of a pod from its end on: how each container ended, and who is at fault. A start that
 * failed just before, as by a postStart hook, explains why one of them was ended. Pure.
 */
export function outcomeOf(
  { pod, fingerprint }: WantedPod,
  phase: "Succeeded" | "Failed",
  standings: readonly Standing[],
  setback: Setback | undefined,
): PodOutcome {
  const { restartPolicy } = pod.spec;
  const guilty = standings.filter((it) => hasFailed(it, restartPolicy));
  const [first] = guilty;
  const before = setback && guilty.length > 0 ? [`${setback.reason}: ${setback.message}`] : [];
  const reason = cut([...guilty.map(wordsOf), ...before].join("; "), REASON_CHARS);
  return {
    fingerprint,
    status: {
      pod: pod.metadata.uid,
      phase,
      ready: false,
      restarts: Math.max(0, ...standings.map((it) => it.last?.restarts ?? 0)),
      containers: standings.map((it) => statusOf(it, restartPolicy)),
      logTail: [],
      ...(reason !== "" && { reason }),
    },
    fault: first?.last && { container: first.container.name, attempt: first.last.attempt },
  };
}

function hasFailed({ kind, last }: Standing, policy: Policy): boolean {
  return last !== undefined && endedForGood(kind, policy, last) && !isDone(kind, policy, last);
}

function wordsOf({ container, last }: Standing): string {
  const cause = last ? endReason(last) : "Error";
  return `container "${container.name}" ended with exit code ${last?.detail?.exitCode} (${cause})`;
}

function statusOf({ container, kind, last }: Standing, policy: Policy): ContainerStatus {
  const over = last !== undefined && endedForGood(kind, policy, last);
  const sight = {
    role: { container, kind },
    seen: last,
    restarts: last?.restarts ?? 0,
    ready: kind === "init" && last !== undefined && isDone(kind, policy, last),
    over,
    turn: last !== undefined,
    setback: undefined,
    failures: [],
    usage: undefined,
    nowMs: 0,
  };
  return kind === "sidecar" && last ? stoppedStatus(sight) : containerStatus(sight);
}
