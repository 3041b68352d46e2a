import type { Usage } from "../../contract/node/protocol.ts";
import type { ContainerUse } from "../runtime/runtime.ts";

type Uses = ReadonlyMap<string, ContainerUse>;

/**
 * What each container took between two looks, by its id; one that was not there at the first is left
 * out, and so is one of which the runtime measured nothing new. Pure.
 */
export function usageBetween(before: Uses, after: Uses): ReadonlyMap<string, Usage> {
  const usage = new Map<string, Usage>();
  for (const [id, now] of after) {
    const then = before.get(id);
    if (!then || now.atNs <= then.atNs || now.cpuNanos < then.cpuNanos) continue;
    const cores = (now.cpuNanos - then.cpuNanos) / (now.atNs - then.atNs);
    usage.set(id, { cpuMillis: Math.round(cores * 1_000), memoryBytes: now.memoryBytes });
  }
  return usage;
}

export type UsageMeter = {
  /** Looks once more; what is told from then on is since the look before. */
  measure(): Promise<void>;
  /** By container id. */
  usage(): ReadonlyMap<string, Usage>;
};

export function openUsageMeter(stats: () => Promise<Uses>): UsageMeter {
  let last: Uses = new Map();
  let usage: ReadonlyMap<string, Usage> = new Map();
  return {
    async measure() {
      const now = await stats();
      usage = usageBetween(last, now);
      last = now;
    },
    usage: () => usage,
  };
}
