import { agentSkew, isLater } from "../node/skew.ts";
import type { Amounts } from "../pod/requests.ts";
import type { Demands } from "./demands.ts";
import { beginnings, neighbourTrouble } from "./neighbours.ts";
import {
  type Asked,
  labelOf,
  type NodeView,
  nodeOf,
  type Surroundings,
  type Tenant,
} from "./node-view.ts";
import { wishTrouble } from "./wish.ts";

/** A node whose agent was silent for longer takes no new pods, and what it said last proves nothing new. */
export const SILENT_AFTER_MS = 45_000;

export type Verdict = { readonly fits: true } | { readonly fits: false; readonly why: string };

/** Whether `node` can take a pod of this kind now, or in words with numbers all that is against it. */
export function canTake(node: NodeView, asked: Asked, around: Surroundings): Verdict {
  return verdictOn(node, asked, around, beginnings(asked.demands, around.nodes));
}

/** The same for whoever asks of many nodes, and has looked once for what the pod may begin. */
export function verdictOn(
  node: NodeView,
  { demands: pod, wish }: Asked,
  around: Surroundings,
  beginning: ReturnType<typeof beginnings>,
): Verdict {
  if (node.fenced) return no(node, ["fenced"]);
  if (node.draining) return no(node, ["draining"]);
  if (node.cordoned) return no(node, ["cordoned"]);
  if (node.seenAtMs === 0) return no(node, ["has not reported yet"]);
  if (isSilent(node, around.nowMs)) return no(node, [silence(node)]);
  const skew = agentSkew(node.protocol);
  if (skew !== undefined) return no(node, [skew]);
  if (node.astray === "ahead") return no(node, ["ahead of the database: it has to be reconciled"]);
  const troubles = [
    ...handlerTrouble(node, pod),
    ...labelTrouble(node, pod),
    ...volumeTrouble(node, pod, around),
    ...portTrouble(node, pod),
    ...neighbourTrouble(node, pod, beginning),
    ...shortages(node, pod),
    ...wishTrouble(node.wish, wish),
  ];
  return troubles.length === 0 ? { fits: true } : no(node, troubles);
}

/** Why no pod that may only run once is started anywhere now; undefined where nothing is against that. */
export function unknownPods(nodes: readonly NodeView[]): string | undefined {
  const node = nodes.find((it) => it.astray !== undefined && !it.fenced);
  return (
    node &&
    `${node.name} may run pods that this database does not know, and one of them its like: GET /v1/nodes/${node.name} says what to do`
  );
}

export function isSilent(node: Pick<NodeView, "seenAtMs">, nowMs: number): boolean {
  return nowMs - node.seenAtMs > SILENT_AFTER_MS;
}

/** What was seen there last proves nothing: its agent is silent, or says what this side does not read. */
export function isUnheard(node: Pick<NodeView, "seenAtMs" | "protocol">, nowMs: number): boolean {
  return isSilent(node, nowMs) || isLater(node.protocol);
}

/**
 * How a node is that is silent or not understood, in words. A moment and no span: the same words each time
 * are written into the history once.
 */
export function silence({ seenAtMs, protocol }: Pick<NodeView, "seenAtMs" | "protocol">): string {
  const skew = isLater(protocol) ? agentSkew(protocol) : undefined;
  return skew === undefined
    ? `silent since ${new Date(seenAtMs).toISOString()}`
    : `not understood (${skew})`;
}

/** `node` with a pod more on it. */
export function withTenant(node: NodeView, tenant: Tenant): NodeView {
  const used = sum(node.used, tenant.demands.requests, 1);
  return { ...node, tenants: [...node.tenants, tenant], used };
}

/** `node` without what this tenant alone can have there: its ports and its company, and its room with `room`. */
export function withoutTenant(
  node: NodeView,
  tenant: Tenant,
  { room }: { room: boolean },
): NodeView {
  const used = room ? sum(node.used, tenant.demands.requests, -1) : node.used;
  return { ...node, tenants: node.tenants.filter((it) => it !== tenant), used };
}

function handlerTrouble({ handlers }: NodeView, { handler }: Demands): readonly string[] {
  if (handler === undefined || handlers.includes(handler)) return [];
  const has = handlers.length === 0 ? "none but its default" : handlers.join(", ");
  return [`has no runtime handler "${handler}" (it has ${has})`];
}

function labelTrouble(node: NodeView, { nodeSelector }: Demands): readonly string[] {
  return Object.entries(nodeSelector).flatMap(([key, value]) => {
    const has = labelOf(node, key);
    if (has === value) return [];
    return has === undefined
      ? `has no label ${key}=${value}`
      : `has the label ${key}=${has}, not ${value}`;
  });
}

function volumeTrouble(
  node: NodeView,
  { claims }: Demands,
  { volumes, nodes }: Surroundings,
): readonly string[] {
  return claims.flatMap((claim) => {
    if (!volumes.has(claim)) return [`there is no volume "${claim}"`];
    const home = volumes.get(claim);
    if (home === undefined || home === node.id) return [];
    const name = nodeOf(nodes, home)?.name ?? "a node that has gone";
    return [`the volume "${claim}" is on ${name}`];
  });
}

function portTrouble({ tenants }: NodeView, { hostPorts }: Demands): readonly string[] {
  if (hostPorts.length === 0) return [];
  const taken = new Set(tenants.flatMap(({ demands }) => demands.hostPorts));
  return hostPorts.filter((it) => taken.has(it)).map((it) => `host port ${it} is taken`);
}

/** Whether there is room for so much beside what is used. Where there is none now, more pods make none. */
export function hasRoom({ allocatable, used }: NodeView, requests: Amounts): boolean {
  return (
    used.memoryBytes + requests.memoryBytes <= allocatable.memoryBytes &&
    used.cpuMillis + requests.cpuMillis <= allocatable.cpuMillis &&
    used.pods + requests.pods <= allocatable.pods
  );
}

function shortages(node: NodeView, { requests }: Demands): readonly string[] {
  if (hasRoom(node, requests)) return [];
  const { allocatable, used } = node;
  const missing = (of: keyof Amounts) => used[of] + requests[of] - allocatable[of];
  const words: string[] = [];
  if (missing("memoryBytes") > 0) words.push(`${inGigabytes(missing("memoryBytes"))} memory`);
  if (missing("cpuMillis") > 0) words.push(`${missing("cpuMillis") / 1000} CPU`);
  if (missing("pods") > 0) words.push(`${missing("pods")} pod`);
  return [`short by ${words.join(", ")}`];
}

function sum(a: Amounts, b: Amounts, sign: 1 | -1): Amounts {
  return {
    cpuMillis: a.cpuMillis + sign * b.cpuMillis,
    memoryBytes: a.memoryBytes + sign * b.memoryBytes,
    pods: a.pods + sign * b.pods,
  };
}

function inGigabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1e7) / 100}G`;
}

function no(node: NodeView, troubles: readonly string[]): Verdict {
  return { fits: false, why: `${node.name}: ${troubles.join(", ")}` };
}
