import { and, eq, inArray, isNotNull, or, sql } from "drizzle-orm";
import type { AppSpec } from "../../contract/app/app-spec.ts";
import type { AppId, Digest, NodeId, PodId, ProjectId, ReleaseId } from "../../contract/ids.ts";
import type { Most } from "../../contract/node/host.ts";
import type { NodeReport, PodStatus } from "../../contract/node/protocol.ts";
import type { Pod } from "../../contract/pod/pod.ts";
import type { Db, Tx } from "../client.ts";
import { record } from "../events.ts";
import { freeNodePort } from "../nodes/routes.ts";
import { announce } from "../outbox.ts";
import {
  apps,
  type Failure,
  type Materials,
  nodePlans,
  nodeStatus,
  nodes,
  type Phase,
  podStatus,
  pods,
  projects,
  type ResolvedImages,
  releases,
} from "../schema/core.ts";
import { lastOfPlaces } from "./history.ts";

/* Releases from `built` to their end, and pods on nodes: only worker/schedule and worker/sweep write by what is here. */

export type AppRow = {
  readonly id: AppId;
  readonly name: string;
  readonly project: string;
  readonly projectId: ProjectId;
  readonly deleted: boolean;
  /** When it was read, by the clock that all times in the database are from; ms since the epoch. */
  readonly nowMs: number;
};

/** The app, locked until the transaction ends: one pass over an app at a time, in all workers. */
export async function lockApp(tx: Tx, id: AppId): Promise<AppRow | undefined> {
  const [row] = await tx
    .select({
      name: apps.name,
      project: projects.name,
      projectId: apps.projectId,
      deletedAt: apps.deletedAt,
      nowMs: sql<number>`extract(epoch from clock_timestamp())::float8 * 1000`,
    })
    .from(apps)
    .innerJoin(projects, eq(projects.id, apps.projectId))
    .where(eq(apps.id, id))
    .for("no key update", { of: apps });
  if (!row) return undefined;
  const { deletedAt, ...rest } = row;
  return { id, ...rest, deleted: deletedAt !== null };
}

export type ReleaseRow = {
  readonly id: ReleaseId;
  readonly number: number;
  readonly phase: "built" | "rolling" | "live";
  readonly phaseAt: Date;
  readonly spec: AppSpec;
  readonly imageRepository: string;
  readonly imageDigest: Digest;
  readonly images: ResolvedImages | null;
  readonly materials: Materials;
  readonly httpPort: number | null;
  readonly newPods: boolean;
};

export async function activeReleases(tx: Tx, app: AppId): Promise<readonly ReleaseRow[]> {
  const rows = await tx
    .select({
      id: releases.id,
      number: releases.number,
      phase: releases.phase,
      phaseAt: releases.phaseAt,
      spec: releases.spec,
      imageRepository: releases.imageRepository,
      imageDigest: releases.imageDigest,
      images: releases.images,
      materials: releases.materials,
      httpPort: releases.httpPort,
      newPods: releases.newPods,
    })
    .from(releases)
    .where(and(eq(releases.appId, app), inArray(releases.phase, ["built", "rolling", "live"])));
  return rows.map(({ phase, imageRepository, imageDigest, ...row }) => {
    if (!imageRepository || !imageDigest)
      throw new Error(`release ${row.id} is ${phase} and has no image`);
    return { ...row, phase: phase as ReleaseRow["phase"], imageRepository, imageDigest };
  });
}

export type PodRow = {
  readonly id: PodId;
  readonly release: ReleaseId;
  readonly node: NodeId;
  readonly wanted: "run" | "gone";
  readonly createdAt: Date;
  readonly spec: Pod;
  readonly textBytes: number;
  readonly status: PodStatus | null;
  readonly since: Date | null;
};

/** Gone, and its node has not yet said in a report that it knows of that: it may run, or even be started. */
export const notYetGone = sql`(${pods.goneGeneration} > coalesce(${nodeStatus.observedGeneration}, -1))`;

/** The app's pods that are wanted, and those that are gone and not known to have ended. */
export async function podsOfApp(tx: Tx, app: AppId): Promise<readonly PodRow[]> {
  return await tx
    .select({
      id: pods.id,
      release: pods.releaseId,
      node: pods.nodeId,
      wanted: pods.wanted,
      createdAt: pods.createdAt,
      spec: pods.spec,
      textBytes: pods.wireBytes,
      status: podStatus.status,
      since: podStatus.since,
    })
    .from(pods)
    .leftJoin(podStatus, eq(podStatus.podId, pods.id))
    .leftJoin(nodeStatus, eq(nodeStatus.nodeId, pods.nodeId))
    .where(
      and(eq(pods.appId, app), or(eq(pods.wanted, "run"), isNotNull(podStatus.podId), notYetGone)),
    );
}

export type NodeRow = {
  readonly id: NodeId;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly cordoned: boolean;
  readonly draining: boolean;
  readonly fencedAt: Date | null;
  readonly generation: number;
  readonly seenAt: Date | null;
  readonly capacity: NodeReport["capacity"] | null;
  readonly most: Most;
  readonly handlers: readonly string[] | null;
};

export async function allNodes(tx: Tx): Promise<readonly NodeRow[]> {
  return await tx
    .select({
      id: nodes.id,
      name: nodes.name,
      labels: nodes.labels,
      cordoned: nodes.cordoned,
      draining: nodes.draining,
      fencedAt: nodes.fencedAt,
      generation: nodePlans.generation,
      seenAt: nodeStatus.seenAt,
      capacity: nodeStatus.capacity,
      most: nodes.most,
      handlers: nodeStatus.handlers,
    })
    .from(nodes)
    .innerJoin(nodePlans, eq(nodePlans.nodeId, nodes.id))
    .leftJoin(nodeStatus, eq(nodeStatus.nodeId, nodes.id));
}

export type TenantRow = { readonly pod: PodId; readonly node: NodeId; readonly spec: Pod };

/** All pods that take room on nodes: wanted there, or not known to have ended; but none that is over. */
export async function podsTakingRoom(tx: Tx): Promise<readonly TenantRow[]> {
  return await tx
    .select({ pod: pods.id, node: pods.nodeId, spec: pods.spec })
    .from(pods)
    .leftJoin(podStatus, eq(podStatus.podId, pods.id))
    .leftJoin(nodeStatus, eq(nodeStatus.nodeId, pods.nodeId))
    .where(
      and(
        or(eq(pods.wanted, "run"), isNotNull(podStatus.podId), notYetGone),
        sql`coalesce(${podStatus.status}->>'phase', '') not in ('Succeeded', 'Failed')`,
      ),
    );
}

export async function addPod(
  tx: Tx,
  pod: { app: AppId; release: ReleaseId; node: NodeId; spec: Pod },
): Promise<void> {
  await tx.insert(pods).values({
    id: pod.spec.metadata.uid,
    appId: pod.app,
    releaseId: pod.release,
    nodeId: pod.node,
    spec: pod.spec,
    nodePort: freeNodePort(pod.node, pod.release),
  });
}

/** A pod that runs becomes one of this release; `spec` differs from its own in labels and annotations. */
export async function adoptPod(
  tx: Tx,
  pod: { id: PodId; release: ReleaseId; spec: Pod },
): Promise<void> {
  await tx
    .update(pods)
    .set({ releaseId: pod.release, spec: pod.spec })
    .where(and(eq(pods.id, pod.id), eq(pods.wanted, "run")));
}

/**
 * `generation` is the one that its node is given with this change; undefined where that was removed: then
 * nobody is left to say that the pod is gone, and it is forgotten at once.
 */
export async function removePod(tx: Tx, id: PodId, generation: number | undefined): Promise<void> {
  const which = and(eq(pods.id, id), eq(pods.wanted, "run"));
  if (generation === undefined) return void (await tx.delete(pods).where(which));
  const gone = { wanted: "gone", goneAt: sql`now()`, goneGeneration: generation } as const;
  await tx.update(pods).set(gone).where(which);
}

/** Somebody else changed what this node should run since it was read: read again and plan anew. */
export class PlanOutdated extends Error {}

/** What the node should run has changed: +1, unless its generation is no longer the one that was read. */
export async function raiseGeneration(tx: Tx, node: NodeId, from: number): Promise<void> {
  const raised = await tx
    .update(nodePlans)
    .set({ generation: from + 1 })
    .where(and(eq(nodePlans.nodeId, node), eq(nodePlans.generation, from)))
    .returning({ node: nodePlans.nodeId });
  if (raised.length === 0) throw new PlanOutdated(`node ${node} is past generation ${from}`);
  await announce(tx, `node:${node}`);
}

/** From which phases each one may be entered: releases only move forward. */
const ENTERED_FROM = {
  rolling: ["built"],
  live: ["built", "rolling"],
  retired: ["live"],
  superseded: ["built", "rolling"],
  cancelled: ["built", "rolling"],
  failed: ["built", "rolling"],
} as const satisfies Partial<Record<Phase, readonly Phase[]>>;

export type PhaseChange = {
  readonly app: AppId;
  readonly release: ReleaseId;
  readonly to: keyof typeof ENTERED_FROM;
  readonly message: string;
  readonly because?: { failure: Failure } | { supersededBy: number } | { cancelledBy: string };
};

/** Moves a release forward, if it still is where the plan saw it, and writes that into its history. */
export async function movePhase(tx: Tx, change: PhaseChange): Promise<void> {
  const { app, release, to, message, because } = change;
  const moved = await tx
    .update(releases)
    .set({ phase: to, phaseAt: sql`now()`, ...because })
    .where(and(eq(releases.id, release), inArray(releases.phase, [...ENTERED_FROM[to]])))
    .returning({ id: releases.id });
  if (moved.length === 0) throw new PlanOutdated(`release ${release} has moved on`);
  await record(tx, { app, release, type: `release-${to}`, message });
}

/** Says once why a pod waits: the same words are not repeated before a pod found its place. */
export async function recordWaiting(
  tx: Tx,
  app: AppId,
  release: ReleaseId,
  why: string,
): Promise<void> {
  const last = await lastOfPlaces(tx, release);
  if (last?.message !== why) await record(tx, { app, release, type: "pod-waiting", message: why });
}

/** Releases of a deleted app that never got as far as the scheduler. */
export async function cancelUnbuilt(tx: Tx, app: AppId, by: string): Promise<void> {
  const cancelled = await tx
    .update(releases)
    .set({ phase: "cancelled", phaseAt: sql`now()`, cancelledBy: by })
    .where(and(eq(releases.appId, app), inArray(releases.phase, ["pending", "building"])))
    .returning({ id: releases.id });
  const message = `cancelled by ${by}`;
  for (const { id } of cancelled)
    await record(tx, { app, release: id, type: "release-cancelled", message });
}

/** Forgets the pods that are gone, a day later, once their nodes have said so: one that was away may yet show them. */
export async function forgetGonePods(db: Db): Promise<void> {
  await db
    .delete(pods)
    .where(
      and(
        eq(pods.wanted, "gone"),
        sql`${pods.goneAt} < now() - interval '1 day'`,
        sql`not exists (select 1 from ${podStatus} where ${podStatus.podId} = ${pods.id})`,
        sql`not exists (select 1 from ${nodeStatus} where ${nodeStatus.nodeId} = ${pods.nodeId} and ${notYetGone})`,
      ),
    );
}
