import type { ContainerStatus, PodStatus, ProbeFailure } from "../../contract/node/protocol.ts";
import { called, type Diagnosis, end } from "./diagnose.ts";

/** Words of Kubernetes for a container whose turn has not come: others are what keeps it. */
const OTHERS_TURN = "PodInitializing";

/** What to say of a pod that is simply not ready when its time is up. Pure. */
export function describeUnready(status: PodStatus | undefined): Diagnosis {
  if (!status) return { slug: "not-started", message: "its node has not started the pod" };
  return (
    waiting(status) ??
    initializing(status) ??
    ended(status) ??
    unanswered(status) ?? {
      slug: "not-ready",
      message: status.reason ?? "the pod did not become ready",
    }
  );
}

function waiting(status: PodStatus): Diagnosis | undefined {
  const stuck = status.containers.find(
    (it) => it.state === "waiting" && it.reason !== undefined && it.reason !== OTHERS_TURN,
  );
  if (!stuck) return undefined;
  const words = [stuck.reason, stuck.message].filter(Boolean).join(": ");
  const alone = status.containers.length === 1;
  return {
    slug: stuck.reason === "CrashLoopBackOff" ? "app-crashes" : "not-started",
    message: alone ? words : `${called(status, stuck)} waits: ${words}`,
  };
}

function initializing(status: PodStatus): Diagnosis | undefined {
  const busy = status.containers.find((it) => it.kind === "init" && it.state === "running");
  if (!busy) return undefined;
  return { slug: "not-started", message: `${called(status, busy)} has not come to its end` };
}

function ended(status: PodStatus): Diagnosis | undefined {
  const over = status.containers.find(
    (it) => it.kind !== "init" && it.state === "exited" && it.exitCode !== undefined && !it.ready,
  );
  if (!over || (over.exitCode === 0 && status.probe)) return undefined;
  return { slug: "not-ready", message: `${called(status, over)} ${end(over)}` };
}

/** Of a pod of many, the questions that went wrong say whose they are. */
function unanswered(status: PodStatus): Diagnosis | undefined {
  const { containers, probe } = status;
  const unready = containers.find((it) => !it.ready && it.probeFailures.length > 0);
  const failure = unready?.probeFailures.at(-1);
  if (unready && failure && containers.length > 1) return probed(status, unready, failure);
  if (!probe) return undefined;
  if (probe.status !== undefined)
    return { slug: "health-failed", message: `the health check answered ${probe.status}` };
  return {
    slug: "nothing-listens",
    message: `nothing answers the health check: ${probe.excerpt ?? "no connection"}`,
  };
}

function probed(
  status: PodStatus,
  container: ContainerStatus,
  { probe, status: answer, excerpt }: ProbeFailure,
): Diagnosis {
  const whose = `the ${probe} probe of ${called(status, container)}`;
  const words = excerpt === "" ? "" : ` (${excerpt})`;
  return answer === undefined
    ? { slug: "nothing-listens", message: `nothing answers ${whose}${words}` }
    : { slug: "health-failed", message: `${whose} got ${answer}${words}` };
}
