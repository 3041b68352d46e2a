import { bytes, cpuMillis } from "../../contract/document/units.ts";
import type { NodeReport } from "../../contract/node/protocol.ts";

export type Capacity = NodeReport["capacity"];

const PODS = 110;
const RESERVED_BYTES = 512 * 1024 * 1024;
const RESERVED_SHARE = 0.1;

/**
 * What this node offers: what its operator says, else what it has, less a reserve of memory for the
 * host and for Waybill itself. Pure.
 */
export function capacity(
  host: { readonly cpus: number; readonly memoryBytes: number },
  said: { readonly cpu: string | undefined; readonly memory: string | undefined },
): Capacity {
  const reserved = Math.max(RESERVED_BYTES, host.memoryBytes * RESERVED_SHARE);
  const offered = Math.max(0, Math.floor(host.memoryBytes - reserved));
  return {
    cpuMillis: (said.cpu === undefined ? undefined : cpuMillis(said.cpu)) ?? host.cpus * 1_000,
    memoryBytes: (said.memory === undefined ? undefined : bytes(said.memory)) ?? offered,
    pods: PODS,
  };
}
