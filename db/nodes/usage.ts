import type { ContainerStatus, PodStatus } from "../../contract/node/protocol.ts";
import type { NodeUsage, PodUsage } from "../schema/core.ts";

/*
 * What containers take changes with every report, and decides nothing. It is kept in the one row of the
 * node that every report writes anyway, so that a pod's own row is written only when the pod changed.
 */

export function usageOf(reported: readonly PodStatus[]): NodeUsage {
  const pods = reported.map(({ pod, containers }) => {
    const used = containers.flatMap(({ name, usage }) => (usage ? [[name, usage] as const] : []));
    return [pod, Object.fromEntries(used)] as const;
  });
  return Object.fromEntries(pods.filter(([_, used]) => Object.keys(used).length > 0));
}

export function withoutUsage(status: PodStatus): PodStatus {
  return { ...status, containers: status.containers.map(({ usage: _, ...it }) => it) };
}

export function withUsage(status: PodStatus, used: PodUsage | null): PodStatus {
  const measured = (it: ContainerStatus): ContainerStatus => {
    const usage = it.state === "running" ? used?.[it.name] : undefined;
    return usage ? { ...it, usage } : it;
  };
  return { ...status, containers: status.containers.map(measured) };
}
