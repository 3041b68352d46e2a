import { bytes, cpuMillis } from "../../contract/document/units.ts";
import type { Container, Pod } from "../../contract/pod/pod.ts";
import { effectiveLimits, effectiveRequests } from "../../contract/pod/requests.ts";
import { cpuShares } from "../host/cpu-weight.ts";

const CPU_PERIOD_US = 100_000;

/** What the kernel is told of a container. The swap limit counts memory and swap together: so no swap. Pure. */
export function containerResources({ resources: { requests, limits } }: Container) {
  const memory = bytes(limits.memory) ?? 0;
  const limitMillis = limits.cpu === undefined ? undefined : cpuMillis(limits.cpu);
  return {
    ...cpu(cpuMillis(requests.cpu) ?? 0, limitMillis),
    memory_limit_in_bytes: memory,
    memory_swap_limit_in_bytes: memory,
  };
}

/** What all of a pod may take at once, for handlers that size a machine by it. Pure. */
export function sandboxResources({ spec }: Pod) {
  const limits = effectiveLimits(spec);
  return {
    ...cpu(effectiveRequests(spec).cpuMillis, limits.cpuMillis),
    memory_limit_in_bytes: limits.memoryBytes,
  };
}

function cpu(requestMillis: number, limitMillis: number | undefined) {
  return {
    cpu_shares: cpuShares(requestMillis),
    ...(limitMillis !== undefined && {
      cpu_period: CPU_PERIOD_US,
      cpu_quota: Math.max(1_000, (limitMillis * CPU_PERIOD_US) / 1000),
    }),
  };
}
