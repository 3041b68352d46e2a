import { z } from "zod";
import { AppSpec } from "../../contract/app/app-spec.ts";
import { Digest } from "../../contract/ids.ts";
import { ContainerStatus, type PodStatus } from "../../contract/node/protocol.ts";
import { agentSkew, PROTOCOL } from "../../contract/node/skew.ts";
import { isUnheard, silence } from "../../contract/placement/filter.ts";
import { writtenHttpPort } from "../../contract/pod/http-port.ts";
import type { AppRow } from "../../db/apps/apps.ts";
import type { ReleaseRow } from "../../db/apps/history.ts";
import type { PodSighting } from "../../db/nodes/sight.ts";
import { PHASES } from "../../db/schema/core.ts";
import type { ApiConfig } from "../deps.ts";

/* What the api answers, and how it is made of what the database says. Pure. */

export const DeclareAnswer = z.strictObject({
  app: z.string(),
  release: z.int(),
  phase: z.enum(PHASES),
  /** The image, once it is built. */
  digest: Digest.nullable(),
  /** Null: as far as is known, it takes no requests. */
  url: z.string().nullable(),
  unchanged: z.boolean(),
});
export type DeclareAnswer = z.infer<typeof DeclareAnswer>;

/** Where pods are, or would come to be, and which wait for what. */
export const PlanAnswer = z.strictObject({
  /** How a release takes the place of the one before it. */
  strategy: z.string(),
  /** `pod` is null for one that is not there yet. */
  pods: z.array(z.strictObject({ pod: z.string().nullable(), node: z.string(), why: z.string() })),
  /** `pods` says how many; `nodes` what is against each node (some of many), where that is what they wait for. */
  waiting: z.array(z.strictObject({ pods: z.int(), why: z.string(), nodes: z.array(z.string()) })),
});
export type PlanAnswer = z.infer<typeof PlanAnswer>;
export const ExplainAnswer = PlanAnswer.extend({
  app: z.string(),
  /** The release that should serve; null: none. */
  release: z.int().nullable(),
  /** Whose pods of the app get requests through their own host's ingress alone, and why; none on one host. */
  unreached: z.array(z.strictObject({ node: z.string(), why: z.string() })),
});
export type ExplainAnswer = z.infer<typeof ExplainAnswer>;

export const FieldChange = z.strictObject({
  pointer: z.string(),
  from: z.unknown().optional(),
  to: z.unknown().optional(),
});
export const DryRunAnswer = z.strictObject({
  app: z.string(),
  dryRun: z.literal(true),
  unchanged: z.boolean(),
  changes: z.array(FieldChange),
  spec: AppSpec,
  /** If nothing else changes meanwhile, and each document by itself. */
  plan: PlanAnswer,
});
export type DryRunAnswer = z.infer<typeof DryRunAnswer>;

export const PodAnswer = z.strictObject({
  name: z.string(),
  /** Null: it ran to its end there, and the node was removed since. */
  node: z.string().nullable(),
  phase: z.enum(["Pending", "Running", "Succeeded", "Failed", "Terminating", "Unknown"]),
  ready: z.boolean(),
  restarts: z.int(),
  ip: z.string().nullable(),
  release: z.int(),
  reason: z.string().nullable(),
  containers: z.array(ContainerStatus),
});
export type PodAnswer = z.infer<typeof PodAnswer>;

export const AppAnswer = z.strictObject({
  name: z.string(),
  spec: AppSpec,
  generation: z.int(),
  /** The release that serves; null: none. */
  live: z.int().nullable(),
  /** The release that should serve; null: none. */
  wanted: z.int().nullable(),
  /** Null: as far as is known, it takes no requests. */
  url: z.string().nullable(),
  pods: z.array(PodAnswer),
});
export type AppAnswer = z.infer<typeof AppAnswer>;

export const ReleaseAnswer = z.strictObject({
  app: z.string(),
  release: z.int(),
  generation: z.int(),
  phase: z.enum(PHASES),
  phaseAt: z.string(),
  createdAt: z.string(),
  createdBy: z.string(),
  digest: Digest.nullable(),
  failure: z
    .strictObject({ slug: z.string(), message: z.string(), log: z.array(z.string()) })
    .nullable(),
  supersededBy: z.int().nullable(),
  cancelledBy: z.string().nullable(),
  spec: AppSpec,
  /** What each image's name stood for when the release was made; null before that is known. */
  images: z.record(z.string(), z.string()).nullable(),
  /** The versions of the secrets and config maps that it names. */
  materials: z.strictObject({
    secrets: z.record(z.string(), z.int()),
    configMaps: z.record(z.string(), z.int()),
  }),
  /** Where its requests go; null before that is known, and where it takes none. */
  httpPort: z.int().nullable(),
  /** It was a restart. */
  newPods: z.boolean(),
});
export type ReleaseAnswer = z.infer<typeof ReleaseAnswer>;

/**
 * Where the app answers; null where it takes no requests. `httpPort` is the release's, null while that
 * is not known: then the spec's own word counts. The last slash is there, so that nothing redirects.
 */
export function appUrl(config: ApiConfig, spec: AppSpec, httpPort: number | null): string | null {
  if (httpPort === null && writtenHttpPort(spec) === undefined) return null;
  const port = config.httpPort === 80 ? "" : `:${config.httpPort}`;
  const path = "war" in spec && spec.war.contextPath !== "/" ? `${spec.war.contextPath}/` : "/";
  return `http://${spec.name}.${config.appsDomain}${port}${path}`;
}

function podAnswer(pod: PodSighting, nowMs: number): PodAnswer {
  const { name, node, release, status } = pod;
  const base = { name, node, release };
  if (status === null) {
    const skew = pod.nodeProtocol === null ? undefined : agentSkew(pod.nodeProtocol);
    const reason = pod.nodeSeenAt === null ? "its node has never reported" : (skew ?? null);
    const unseen = { phase: "Pending", ready: false, restarts: 0, ip: null } as const;
    return { ...base, ...unseen, reason, containers: [] };
  }
  const isOver = status.phase === "Succeeded" || status.phase === "Failed";
  // Its agent may not have heard yet.
  const isLeaving = pod.wanted === "gone" && !isOver;
  const seen = {
    ...base,
    phase: isLeaving ? ("Terminating" as const) : status.phase,
    ready: status.ready && !isLeaving,
    restarts: status.restarts,
    ip: status.ip ?? null,
    reason: reasonOf(status),
    containers: [...status.containers],
  };
  const told = { seenAtMs: pod.nodeSeenAt?.getTime() ?? 0, protocol: pod.nodeProtocol ?? PROTOCOL };
  // Its node may have lost it: nobody knows.
  if (isOver || !isUnheard(told, nowMs)) return seen;
  return { ...seen, phase: "Unknown", ready: false, reason: `its node is ${silence(told)}` };
}

/** The pod's own word; else what its probe last heard, while it is not ready. */
function reasonOf(status: PodStatus): string | null {
  if (status.reason !== undefined) return status.reason;
  if (status.ready || status.probe === undefined) return null;
  const { status: code, times, excerpt } = status.probe;
  const heard = code === undefined ? (excerpt ?? "no answer") : `HTTP ${code}`;
  return `not ready: ${heard}, ${times} times in a row`;
}

export function appAnswer(
  config: ApiConfig,
  app: AppRow,
  numbers: { live: number | null; wanted: number | null; httpPort: number | null },
  pods: readonly PodSighting[],
  nowMs: number,
): AppAnswer {
  return {
    name: app.name,
    spec: app.spec,
    generation: app.generation,
    live: numbers.live,
    wanted: numbers.wanted,
    url: appUrl(config, app.spec, numbers.httpPort),
    pods: pods.map((pod) => podAnswer(pod, nowMs)),
  };
}

export function releaseAnswer(app: string, row: ReleaseRow): ReleaseAnswer {
  const { id: _, number, phaseAt, createdAt, failure, ...rest } = row;
  return {
    app,
    release: number,
    ...rest,
    phaseAt: phaseAt.toISOString(),
    createdAt: createdAt.toISOString(),
    failure: failure && { ...failure, log: [...failure.log] },
    images: rest.images && { ...rest.images },
    materials: { ...rest.materials },
  };
}
