import { z } from "zod";
import { howToJoinAnew, Most } from "../../contract/node/host.ts";
import type { PodStatus } from "../../contract/node/protocol.ts";
import { agentSkew } from "../../contract/node/skew.ts";
import { isSilent as silentSince } from "../../contract/placement/filter.ts";
import type { NodeView, PodOnNode, Staying } from "../../db/nodes/nodes.ts";
import { few, nameOfStranger, reasonOf } from "./ahead.ts";

/* What the api says of hosts, and how it is made of what the database says. Pure. */

const STATUSES = [
  "ready",
  "cordoned",
  "draining",
  "unreachable",
  "incompatible",
  "never-seen",
  "ahead",
  "fenced",
] as const;

const Amounts = z.strictObject({ cpuMillis: z.int(), memoryBytes: z.int(), pods: z.int() });

export const NodeAnswer = z.strictObject({
  name: z.string(),
  status: z.enum(STATUSES),
  /** It was heard of within 45 s, and its agent speaks what the api speaks. */
  ready: z.boolean(),
  /** Why a person should look at it, and what to do, in words; null where all is in order. */
  reason: z.string().nullable(),
  /** It takes no new pods. */
  cordoned: z.boolean(),
  /** Its pods are moved elsewhere, one after the other. */
  draining: z.boolean(),
  /** Since when a person says that it is off. */
  fencedAt: z.string().nullable(),
  /** What to do for it to come back, where it has no token any more that the api takes. */
  joinAnew: z.string().nullable(),
  labels: z.record(z.string(), z.string()),
  version: z.string().nullable(),
  /** What its agent speaks; null before it spoke. */
  protocol: z.int().nullable(),
  /** Where the other nodes reach it; null: nowhere, and no other node's ingress has routes to its pods. */
  address: z.string().nullable(),
  /** What it tells as its address and is not taken: another node's, or none that can be reached. */
  addressRefused: z.string().nullable(),
  /** The addresses of its pods. */
  podRange: z.string().nullable(),
  /** What it offers: as it reports, and no more than `most`. */
  capacity: Amounts.nullable(),
  /** As much as it may offer, by its join token; an amount that is not named has no bound. */
  most: Most,
  /** What of the capacity no pod has asked for. */
  free: Amounts.nullable(),
  /** What a runtimeClassName may name there. */
  handlers: z.array(z.string()),
  /** How many pods it should run, without those that have run to their end. */
  pods: z.int(),
  joinedAt: z.string(),
  seenAt: z.string().nullable(),
});
export type NodeAnswer = z.infer<typeof NodeAnswer>;

const PodOnNodeAnswer = z.strictObject({
  project: z.string(),
  app: z.string(),
  name: z.string(),
  /** False: it is to go from here. */
  wanted: z.boolean(),
  /** As the node said last; null: it has not said anything of it. */
  phase: z.string().nullable(),
  ready: z.boolean(),
});

export const NodeDetails = NodeAnswer.extend({
  running: z.array(PodOnNodeAnswer),
  /**
   * What it has beside them, and this database does not know: made after the backup that it is from, or what
   * the host ran before it was deleted and joined anew.
   */
  strangers: z.array(
    z.strictObject({ pod: z.string(), name: z.string().nullable(), phase: z.string() }),
  ),
  /** How far a drain is; null where there is none. */
  drain: z
    .strictObject({
      left: z.int(),
      done: z.boolean(),
      message: z.string(),
      /** Pods that have nowhere to go, and why; some of them. */
      waiting: z.array(z.strictObject({ pod: z.string(), why: z.string() })),
    })
    .nullable(),
});
export type NodeDetails = z.infer<typeof NodeDetails>;

/** In one word what matters most. */
export function statusOf(
  node: Pick<NodeView, "fencedAt" | "seenAt" | "protocol" | "ahead" | "draining" | "cordoned">,
  nowMs: number,
): NodeAnswer["status"] {
  if (node.fencedAt !== null) return "fenced";
  if (node.seenAt === null) return "never-seen";
  if (isSilent(node, nowMs)) return "unreachable";
  if (skewOf(node) !== undefined) return "incompatible";
  if (node.ahead !== null) return "ahead";
  if (node.draining) return "draining";
  return node.cordoned ? "cordoned" : "ready";
}

/** Whether it may have lost its pods: nobody knows. */
export function isSilent({ seenAt }: Pick<NodeView, "seenAt">, nowMs: number): boolean {
  return silentSince({ seenAtMs: seenAt?.getTime() ?? 0 }, nowMs);
}

/** Why its agent and the api do not understand each other. */
function skewOf({ protocol }: Pick<NodeView, "protocol">): string | undefined {
  return protocol === null ? undefined : agentSkew(protocol);
}

export function nodeAnswer(node: NodeView, nowMs: number): NodeAnswer {
  const {
    id: _,
    asked,
    known,
    toldAddress,
    capacity,
    generation: __,
    ahead: ___,
    strangers: ____,
    ...rest
  } = node;
  const skew = skewOf(node);
  return {
    ...rest,
    status: statusOf(node, nowMs),
    ready: node.fencedAt === null && !isSilent(node, nowMs) && skew === undefined,
    reason: skew ?? reasonOf(node),
    fencedAt: node.fencedAt?.toISOString() ?? null,
    joinAnew: known ? null : howToJoinAnew(node.name),
    labels: { ...node.labels },
    addressRefused: node.address === null ? toldAddress : null,
    capacity,
    free: capacity && {
      cpuMillis: Math.max(0, capacity.cpuMillis - asked.cpuMillis),
      memoryBytes: Math.max(0, capacity.memoryBytes - asked.memoryBytes),
      pods: Math.max(0, capacity.pods - asked.pods),
    },
    handlers: [...node.handlers],
    joinedAt: node.joinedAt.toISOString(),
    seenAt: node.seenAt?.toISOString() ?? null,
  };
}

export function nodeDetails(
  node: NodeView,
  pods: readonly PodOnNode[],
  waiting: readonly Staying[],
  nowMs: number,
): NodeDetails {
  return {
    ...nodeAnswer(node, nowMs),
    running: pods.map(({ project, app, name, wanted, status }) => ({
      project,
      app,
      name,
      wanted: wanted === "run",
      phase: status?.phase ?? null,
      ready: status?.ready ?? false,
    })),
    strangers: node.strangers.map(({ pod, name = null, phase }) => ({ pod, name, phase })),
    drain: node.draining ? drainOf(node, pods, waiting, nowMs) : null,
  };
}

/** It ran to its end: it moves nowhere, and holds no node. What it came to is known without that. */
export function isOver({
  status,
}: {
  readonly status: Pick<PodStatus, "phase"> | null | undefined;
}): boolean {
  return status?.phase === "Succeeded" || status?.phase === "Failed";
}

/** The names of the pods that it has and this database does not know, without those that are over. */
export function unknownLeft({ strangers }: Pick<NodeView, "strangers">): readonly string[] {
  return strangers.filter((status) => !isOver({ status })).map(nameOfStranger);
}

function drainOf(
  node: NodeView,
  pods: readonly PodOnNode[],
  waiting: readonly Staying[],
  nowMs: number,
): NodeDetails["drain"] {
  const unknown = unknownLeft(node);
  const names = [...pods.filter((it) => !isOver(it)).map((it) => it.name), ...unknown];
  const left = names.length;
  if (left === 0) return { left, done: true, message: "no pod is left", waiting: [] };
  const skew = skewOf(node);
  const doubt = isSilent(node, nowMs)
    ? "; the node is silent, so nobody knows what runs there"
    : skew === undefined
      ? ""
      : `; ${skew}`;
  const known =
    unknown.length === 0
      ? ""
      : `; this database does not know ${few(unknown)}, and the node's reason says what to do`;
  const verb = left === 1 ? "pod is" : "pods are";
  const [first] = waiting;
  const why = first ? `; ${first.pod} waits: ${first.why}` : "";
  const message = `${left} ${verb} left: ${few(names)}${doubt}${known}${why}`;
  return { left, done: false, message, waiting: [...waiting] };
}
