import type { StayingPod } from "../ingress/routing.ts";
import { rolesOf } from "../plan/kinds.ts";
import { newestOf } from "../plan/readiness.ts";
import type { ProbeTarget } from "./watch.ts";

/** The containers of a pod to ask now: its sidecars and main ones that run. Pure. */
export function probeTargets(
  { pod, sandbox }: StayingPod,
  agentStartedAtMs: number,
): readonly ProbeTarget[] {
  const { ip } = sandbox;
  if (ip === undefined) return [];
  return rolesOf(pod.spec).flatMap(({ container, kind }) => {
    const running = newestOf(sandbox, container.name);
    if (kind === "init" || running?.state !== "running") return [];
    const startedAtMs = running.detail?.startedAtMs ?? agentStartedAtMs;
    return {
      container: running.id,
      ip,
      ports: container.ports,
      probes: {
        startup: container.startupProbe,
        readiness: container.readinessProbe,
        liveness: container.livenessProbe,
      },
      startedAtMs,
      foundRunning: startedAtMs < agentStartedAtMs,
    };
  });
}
