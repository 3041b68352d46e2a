import { z } from "zod";
import { DnsLabel, Name, NodeId, PodId } from "../ids.ts";
import { ConfigMapMaterial, SecretMaterial, VolumeKey } from "../material/material.ts";
import { Pod } from "../pod/pod.ts";
import { PodRange } from "./host.ts";
import { NODE_PORTS } from "./node-ports.ts";

/*
 * What an agent and the api say to each other, always asked by the agent:
 *   POST /v1/node/join      Bearer = join token   JoinRequest  -> JoinAnswer
 *   GET  /v1/node/desired   Bearer = node token   If-None-Match (wishTag), waybill-held-wish, ?waitMs=
 *                                                 -> 200 DesiredState with ETag, or 304;
 *                                                 412 where the api never made the wish that is held
 *   POST /v1/node/report    Bearer = node token   NodeReport   -> 204
 *   DELETE /v1/node/session Bearer = node token   -> 204: this agent stops, another may speak at once
 *   logs and commands: logs.ts, exec.ts
 *   GET  /v2/...            Basic, any user, password = node token: the images, through the api
 * Each but the last with the header waybill-agent-session (host.ts): 409 while another agent speaks for the node.
 * Questions and answers of different versions: skew.ts. A wish is taken whole or refused, since what is not
 * known there may be what makes a pod safe; what an agent says is taken without what is not known of it.
 */

/** The registry name that every image reference in a pod carries; each agent maps it to its api's /v2. */
export const REGISTRY_NAME = "waybill.internal";
/** The image that holds a pod's namespaces, made and pushed by the worker; tags are never moved. */
export const PAUSE_REPOSITORY = "base/pause";
export const PAUSE_TAG = "1";
export const PAUSE_IMAGE = `${REGISTRY_NAME}/${PAUSE_REPOSITORY}:${PAUSE_TAG}`;

/**
 * `publicKey` is the node's X25519 key, raw and in base64: secrets are sealed to it. `podRange` is the
 * one that its pods have addresses from already; without it the node is given one.
 */
export const JoinRequest = z.object({
  version: z.string().max(100),
  podRange: PodRange.optional(),
  publicKey: z.string().regex(/^[A-Za-z0-9+/]{43}=$/, "must be 32 bytes in base64"),
});
export type JoinRequest = z.infer<typeof JoinRequest>;

export const JoinAnswer = z.object({
  node: NodeId,
  name: Name,
  token: z.string(),
  podRange: PodRange,
});
export type JoinAnswer = z.infer<typeof JoinAnswer>;

/** Where other nodes' ingresses ask for one pod. */
const NodePort = z.int().min(NODE_PORTS.first).max(NODE_PORTS.last);

/** A pod of another node, and where that node takes requests for it. */
export const RemotePod = z.strictObject({ pod: PodId, address: z.string().min(1), port: NodePort });
export type RemotePod = z.infer<typeof RemotePod>;

/** Requests for `hosts` go to the ready ones among `pods`, on `port`, and to those of other nodes. */
export const Route = z.strictObject({
  app: Name,
  hosts: z.array(z.string().min(1)),
  port: z.int().min(1).max(65_535),
  pods: z.array(PodId),
  /** By pod of this node, of those too that left not long ago: an ingress elsewhere may not know yet. */
  nodePorts: z.partialRecord(PodId, NodePort).default({}),
  /** Wanted there; whether they are ready their own nodes know. */
  remote: z.array(RemotePod).default([]),
});
export type Route = z.infer<typeof Route>;

/** All that one node should run, whole: what is not in it should not be there. `generation` only grows. */
export const DesiredState = z.strictObject({
  node: NodeId,
  generation: z.int().min(0),
  /** Random, one for each generation: two databases that counted alike did not wish alike. */
  mark: z.uuid().optional(),
  pods: z.array(Pod),
  routes: z.array(Route),
  /** +1 when routes change for what happens on other nodes; only grows. */
  routing: z.int().min(0).default(0),
  /** Random, one for each number that `routing` had, as `mark` is for `generation`. */
  routingMark: z.uuid().optional(),
  /** The other nodes' addresses: from there, and from this host itself, requests are taken at node ports. */
  peers: z.array(z.string().min(1)).default([]),
  /**
   * What an ingress shows at node ports, of all nodes alike: pods elsewhere come from those addresses, too.
   * Secret; told to a node that has such ports or asks at others'.
   */
  ingressKey: z.uuid().optional(),
  /** What these pods name, and nothing else. */
  configMaps: z.array(ConfigMapMaterial).default([]),
  secrets: z.array(SecretMaterial).default([]),
  /** Images of the releases before, which a rollback would need: not wanted, and not to be collected. */
  keepImages: z.array(z.string()).default([]),
  /** Named volumes whose bytes are to be deleted: only a name that stands here is ever removed. */
  purgeVolumes: z.array(VolumeKey).default([]),
  /**
   * Beside `pods`: what runs under these ids stays as it is, with its routes, until a wish without this. The
   * api knows no more of them, and has none of its own ready in their place yet.
   */
  keepPods: z.array(PodId).optional(),
});
export type DesiredState = z.infer<typeof DesiredState>;

/** Which routes an agent has; without a mark where it was told them before there were any. */
export type HeldRouting = Pick<DesiredState, "routing" | "routingMark">;

/** A wish that an agent holds, as far as the api is to know which one. */
export type HeldWish = Held & HeldRouting;

/** What an agent holds already, as an ETag: two wishes of one node with the same tag say the same. */
export function wishTag({
  generation,
  routing,
  routingMark,
}: Pick<HeldWish, "generation" | keyof HeldRouting>): string {
  const mark = routingMark === undefined ? "" : `.${routingMark}`;
  return routing === 0 ? `"${generation}"` : `"${generation}.${routing}${mark}"`;
}

/** The routes in such a tag; undefined where there are none, or more than a counter could go on from. */
export function readRouting(tag: string): HeldRouting | undefined {
  const [, routing, routingMark] = /^"\d+\.(\d{1,15})(?:\.([-0-9a-f]{36}))?"$/.exec(tag) ?? [];
  if (routing === undefined) return undefined;
  return { routing: Number(routing), ...(routingMark !== undefined && { routingMark }) };
}

/** Which wish an agent has in hand; without a mark where it was made before there were any. */
export type Held = Pick<DesiredState, "generation" | "mark">;

/** How an agent says in each question for its wish what it has in hand, whether or not it wants the same again. */
export const HELD_HEADER = "waybill-held-wish";

export function heldText({ generation, mark }: Held): string {
  return mark === undefined ? String(generation) : `${generation} ${mark}`;
}

/** Undefined where the text is none of those. An ETag is one, too: agents of before send no other. */
export function readHeld(text: string): Held | undefined {
  const [, generation, mark] =
    /^"?(\d{1,15})(?: ([-0-9a-f]{36})|\.\d+(?:\.[-0-9a-f]{36})?"|"|)$/.exec(text) ?? [];
  if (generation === undefined) return undefined;
  return { generation: Number(generation), ...(mark !== undefined && { mark }) };
}

/** One question of a probe that went wrong. */
export const ProbeFailure = z.object({
  probe: z.enum(["startup", "readiness", "liveness"]),
  at: z.iso.datetime(),
  /** HTTP status, or the exit code of a command; absent where nothing answered. */
  status: z.int().optional(),
  latencyMs: z.number().min(0),
  /** First bytes of the answer, or the error. */
  excerpt: z.string().max(500),
});
export type ProbeFailure = z.infer<typeof ProbeFailure>;

/** What a container takes at the moment; working-set memory, as Kubernetes counts it. */
export const Usage = z.object({ cpuMillis: z.number().min(0), memoryBytes: z.int().min(0) });
export type Usage = z.infer<typeof Usage>;

export const ContainerStatus = z.object({
  name: DnsLabel,
  kind: z.enum(["init", "sidecar", "main"]).default("main"),
  state: z.enum(["waiting", "running", "exited"]),
  ready: z.boolean().default(false),
  exitCode: z.int().optional(),
  /** The signal that ended it, where one did. */
  signal: z.int().optional(),
  /** Kubernetes' words where it has one: OOMKilled, Error, Completed, CrashLoopBackOff, ErrImagePull, ... */
  reason: z.string().max(200).optional(),
  message: z.string().max(2_000).optional(),
  restarts: z.int().min(0),
  startedAt: z.iso.datetime().optional(),
  finishedAt: z.iso.datetime().optional(),
  usage: Usage.optional(),
  /** The last questions that went wrong, oldest first. */
  probeFailures: z.array(ProbeFailure).max(10).default([]),
});
export type ContainerStatus = z.infer<typeof ContainerStatus>;

/** What the probe last heard from a pod that is not ready. */
export const ProbeSight = z.object({
  /** HTTP status of the last answer; absent where nothing answered. */
  status: z.int().optional(),
  /** How often in a row the last outcome was the same. */
  times: z.int().min(0),
  latencyMs: z.number().min(0).optional(),
  /** First bytes of the answer, or the error of the connection. */
  excerpt: z.string().max(500).optional(),
});
export type ProbeSight = z.infer<typeof ProbeSight>;

export const PodStatus = z.object({
  pod: PodId,
  /** What people call it, where its node knows. */
  name: z.string().max(63).optional(),
  phase: z.enum(["Pending", "Running", "Succeeded", "Failed", "Terminating"]),
  ready: z.boolean(),
  restarts: z.int().min(0),
  ip: z.string().max(64).optional(),
  reason: z.string().max(500).optional(),
  containers: z.array(ContainerStatus).max(64),
  probe: ProbeSight.optional(),
  /** Last lines of the container's output, only while the pod is not ready. */
  logTail: z.array(z.string().max(2_000)).max(50).default([]),
});
export type PodStatus = z.infer<typeof PodStatus>;

/** What a node saw, whole. `observedGeneration` says which wish it had in hand when it looked. */
export const NodeReport = z.object({
  observedGeneration: z.int().min(0),
  /** The mark of that wish. */
  observedMark: z.uuid().optional(),
  bootId: z.string().max(100),
  /** When it looked, by a clock of the boot that nobody sets: of two reports the later one counts. */
  sinceBootMs: z.int().min(0).optional(),
  version: z.string().max(100),
  capacity: z.object({
    cpuMillis: z.int().min(0),
    memoryBytes: z.int().min(0),
    pods: z.int().min(0),
  }),
  /** The runtime's handlers that a `runtimeClassName` may name; the default one has no name. */
  handlers: z.array(DnsLabel).max(100).default([]),
  /** Where the other nodes reach this one; absent: nowhere. */
  address: z.string().max(64).optional(),
  /** Volumes whose deletion was asked for and that are gone from here. */
  purgedVolumes: z.array(VolumeKey).max(1_000).default([]),
  pods: z.array(PodStatus).max(2_000),
});
export type NodeReport = z.infer<typeof NodeReport>;
