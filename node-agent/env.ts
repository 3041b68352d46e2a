import { z } from "zod";
import { CpuQuantity, MemoryQuantity } from "../contract/document/units.ts";
import { PodRange, reachableAddress } from "../contract/node/host.ts";
import { HostPathPrefixes, HostPortRanges } from "../contract/pod/host-policy.ts";
import { readEnv } from "../kit/env.ts";

const AbsolutePath = z.string().regex(/^\/[^\0]+$/, "must be an absolute path");

/** The agent's variables, the same for its `main.ts` and its `down.ts`. */
const AgentEnv = z.object({
  WAYBILL_API_URL: z.url({ protocol: /^https?$/ }).transform((url) => url.replace(/\/+$/, "")),
  WAYBILL_AGENT_DIR: AbsolutePath,
  WAYBILL_JOIN_TOKEN_FILE: AbsolutePath,
  CONTAINER_RUNTIME_ENDPOINT: z
    .string()
    .regex(/^unix:\/\/\/.+/, "must be a socket such as unix:///run/containerd/containerd.sock"),
  WAYBILL_REGISTRY_HOSTS_DIR: AbsolutePath,
  WAYBILL_CADDY_ADMIN: AbsolutePath,
  WAYBILL_INGRESS_SOCKET: AbsolutePath,
  WAYBILL_CGROUP_PARENT: z
    .string()
    .regex(/^\/[a-z0-9][a-z0-9-]{0,62}$/, "must be a name below the root, such as /waybill"),
  WAYBILL_NODE_MEMORY: MemoryQuantity.optional(),
  WAYBILL_NODE_CPU: CpuQuantity.optional(),
  WAYBILL_AGENT_HEALTH: AbsolutePath,
  WAYBILL_HOST_PATHS: HostPathPrefixes,
  WAYBILL_HOST_PORTS: HostPortRanges,
  /** Where the other hosts reach this one; else its own address on the way to the api. */
  WAYBILL_NODE_ADDRESS: z
    .string()
    .refine(
      (text) => reachableAddress(text) !== undefined,
      "must be an IP address that other hosts reach",
    )
    .optional(),
  /** The addresses that pods are given here already; without it the api says which. */
  WAYBILL_POD_RANGE: PodRange.optional(),
  /** Tells one boot of this host from another; a test reboots by another file. */
  WAYBILL_BOOT_ID_FILE: AbsolutePath.default("/proc/sys/kernel/random/boot_id"),
});
export type AgentEnv = z.infer<typeof AgentEnv>;

export function readAgentEnv(source?: Readonly<Record<string, string | undefined>>): AgentEnv {
  return readEnv(AgentEnv, source);
}
