import { openMaterials } from "../disk/materials.ts";
import type { Outcomes } from "../disk/outcomes.ts";
import { openPodNotes } from "../disk/pod-notes.ts";
import type { AgentEnv } from "../env.ts";
import { connectionsTo } from "../host/connections.ts";
import { hostIp } from "../host/host-ip.ts";
import { hostDns } from "../host/resolv-conf.ts";
import type { Ingress } from "../ingress/keeper.ts";
import type { Parts } from "../parts.ts";
import { openArtifactRegistry } from "../volumes/artifact/registry.ts";
import { type Artifacts, openArtifacts } from "../volumes/artifact/store.ts";
import type { Hands } from "./act.ts";
import { openImageStore } from "./images.ts";

const WITHDRAW_MS = 2_000;

/** What carries out the steps of this agent: its parts, and what it asks of the host at each turn. */
export function openHands(
  parts: Parts & {
    readonly env: AgentEnv;
    readonly ingress: Ingress;
    readonly outcomes: Outcomes;
    /** Answers how many images went. */
    readonly makeRoom: () => Promise<number>;
  },
): Hands & { readonly artifacts: Artifacts } {
  const { env, places, runtime, client, ledger, key, ingress, outcomes } = parts;
  const token = () => client.identity()?.token;
  const registry = openArtifactRegistry(env.WAYBILL_API_URL, token);
  return {
    runtime,
    images: openImageStore(runtime, token, parts.makeRoom),
    artifacts: openArtifacts(places.artifactsDir, registry),
    materials: openMaterials(ledger.current, () => key),
    outcomes,
    notes: openPodNotes(places),
    places,
    hostPaths: env.WAYBILL_HOST_PATHS,
    hostPorts: env.WAYBILL_HOST_PORTS,
    node: () => ({ nodeName: client.identity()?.name, hostIp: hostIp() }),
    dns: hostDns,
    routed: ingress.reaches,
    withdrawn: (ip) => ingress.withdrawn(ip, WITHDRAW_MS),
    connectionsTo,
  };
}
