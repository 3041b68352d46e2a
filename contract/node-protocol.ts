import { z } from "zod";
import { Name, NodeId, PodId } from "./ids.ts";
import { Pod } from "./pod.ts";

/*
 * What an agent and the api say to each other, always asked by the agent:
 *   POST /v1/node/join      Bearer = join token   JoinRequest  -> JoinAnswer
 *   GET  /v1/node/desired   Bearer = node token   If-None-Match: "<generation>", ?waitMs=
 *                                                 -> 200 DesiredState with ETag, or 304
 *   POST /v1/node/report    Bearer = node token   NodeReport   -> 204
 *   GET  /v2/...            Basic, any user, password = node token: the images, through the api
 */

/** The registry name that every image reference in a pod carries; each agent maps it to its api's /v2. */
export const REGISTRY_NAME = "waybill.internal";
/** The image that holds a pod's namespaces, made and pushed by the worker; tags are never moved. */
export const PAUSE_REPOSITORY = "base/pause";
export const PAUSE_TAG = "1";
export const PAUSE_IMAGE = `${REGISTRY_NAME}/${PAUSE_REPOSITORY}:${PAUSE_TAG}`;

export const JoinRequest = z.strictObject({ version: z.string().max(100) });
export type JoinRequest = z.infer<typeof JoinRequest>;

export const JoinAnswer = z.object({ node: NodeId, name: Name, token: z.string() });
export type JoinAnswer = z.infer<typeof JoinAnswer>;

/** Requests for `hosts` go to the ready ones among `pods`, on `port`. */
export const Route = z.strictObject({
  app: Name,
  hosts: z.array(z.string().min(1)),
  port: z.int().min(1).max(65_535),
  pods: z.array(PodId),
});
export type Route = z.infer<typeof Route>;

/** All that one node should run, whole: what is not in it should not be there. `generation` only grows. */
export const DesiredState = z.strictObject({
  node: NodeId,
  generation: z.int().min(0),
  pods: z.array(Pod),
  routes: z.array(Route),
});
export type DesiredState = z.infer<typeof DesiredState>;

export const ContainerStatus = z.strictObject({
  name: Name,
  state: z.enum(["waiting", "running", "exited"]),
  exitCode: z.int().optional(),
  /** Kubernetes' words where it has one: OOMKilled, Error, CrashLoopBackOff, ErrImagePull, ... */
  reason: z.string().max(200).optional(),
  message: z.string().max(2_000).optional(),
  restarts: z.int().min(0),
  startedAt: z.iso.datetime().optional(),
});
export type ContainerStatus = z.infer<typeof ContainerStatus>;

/** What the probe last heard from a pod that is not ready. */
export const ProbeSight = z.strictObject({
  /** HTTP status of the last answer; absent where nothing answered. */
  status: z.int().optional(),
  /** How often in a row the last outcome was the same. */
  times: z.int().min(0),
  latencyMs: z.number().min(0).optional(),
  /** First bytes of the answer, or the error of the connection. */
  excerpt: z.string().max(500).optional(),
});
export type ProbeSight = z.infer<typeof ProbeSight>;

export const PodStatus = z.strictObject({
  pod: PodId,
  phase: z.enum(["Pending", "Running", "Terminating"]),
  ready: z.boolean(),
  restarts: z.int().min(0),
  ip: z.string().max(64).optional(),
  reason: z.string().max(500).optional(),
  containers: z.array(ContainerStatus).max(32),
  probe: ProbeSight.optional(),
  /** Last lines of the container's output, only while the pod is not ready. */
  logTail: z.array(z.string().max(2_000)).max(50).default([]),
});
export type PodStatus = z.infer<typeof PodStatus>;

/** What a node saw, whole. `observedGeneration` says which wish it had in hand when it looked. */
export const NodeReport = z.strictObject({
  observedGeneration: z.int().min(0),
  bootId: z.string().max(100),
  version: z.string().max(100),
  capacity: z.strictObject({
    cpuMillis: z.int().min(0),
    memoryBytes: z.int().min(0),
    pods: z.int().min(0),
  }),
  pods: z.array(PodStatus).max(2_000),
});
export type NodeReport = z.infer<typeof NodeReport>;
