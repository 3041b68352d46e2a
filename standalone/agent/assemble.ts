import type { Part } from "../part.ts";
import type { RuntimeHandler } from "../parts/handlers.ts";
import { containerRuntime, ingress } from "../parts/node-side.ts";
import { type NodeWiring, nodeAgentPart } from "../parts/programs.ts";
import type { Places } from "../places.ts";
import type { HostOptions } from "./env.ts";
import type { Host } from "./host.ts";

export type HostAssembly = {
  readonly router: Part;
  /** After the router, which had its port before an upgrade. */
  readonly front: Part;
  readonly nodeAgent: Part;
  /** The container runtime, whose pods get addresses of this range. */
  readonly containerd: (podRange: string) => Part;
  readonly wiring: NodeWiring;
  readonly bridge: string;
};

type Around = {
  readonly root: string;
  readonly nodeBinary: string;
  readonly handlers: readonly RuntimeHandler[];
};

/** What a node runs on a host of its own. Pure. */
export function assembleHost(
  host: Host,
  options: Pick<HostOptions, "nodeMemory" | "nodeCpu" | "hostPaths" | "hostPorts" | "outbound">,
  places: Places,
  { root, nodeBinary, handlers }: Around,
): HostAssembly {
  const { dataDir, runDir } = places;
  const runtime = (podCidr: string) =>
    containerRuntime({ id: host.id, dataDir, runDir, podCidr, handlers });
  const caddy = ingress({ dataDir, runDir, httpPort: host.httpPort });
  // Nothing but the addresses depends on the range.
  const { endpoint, hostsDir, bridge } = runtime("");
  const certificates = options.outbound.NODE_EXTRA_CA_CERTS;
  const wiring: NodeWiring = {
    root,
    nodeBinary,
    settings: { ...options, httpPort: host.httpPort },
    places,
    apiUrl: host.api,
    runtimeEndpoint: endpoint,
    registryHostsDir: hostsDir,
    caddyAdmin: caddy.adminSocket,
    ingressSocket: caddy.ingressSocket,
    more: {
      ...(host.address !== undefined && { WAYBILL_NODE_ADDRESS: host.address }),
      ...(certificates !== undefined && { NODE_EXTRA_CA_CERTS: certificates }),
    },
  };
  return {
    router: caddy.router,
    front: caddy.front,
    nodeAgent: nodeAgentPart(wiring),
    containerd: (podRange) => runtime(podRange).part,
    wiring,
    bridge,
  };
}
