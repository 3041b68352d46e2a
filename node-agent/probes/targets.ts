import type { StayingPod } from "../ingress/routing.ts";
import { rolesOf } from "../plan/kinds.ts";
import { isUp, newestOf } from "../plan/readiness.ts";
import type { ProbeTarget } from "./watch.ts";

/** The containers of a pod to ask now: its sidecars and main ones that are up. Pure. */
export function probeTargets(
  { pod, sandbox }: StayingPod,
  agentStartedAtMs: number,
): readonly ProbeTarget[] {
  const { ip } = sandbox;
  if (ip === undefined) return [];
  return rolesOf(pod.spec).flatMap((role) => {
    const { container, kind } = role;
    const running = newestOf(sandbox, container.name);
    if (kind === "init" || !running || !isUp(role, running)) return [];
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
