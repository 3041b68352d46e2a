import { and, asc, eq, inArray, sql } from "drizzle-orm";
import type { AppSpec } from "../../contract/app/app-spec.ts";
import type { AppId, Digest, NodeId, PodId, ProjectId, ReleaseId } from "../../contract/ids.ts";
import type { PodStatus } from "../../contract/node/protocol.ts";
import type { Db, Tx } from "../client.ts";
import {
  apps,
  type Materials,
  nodeStatus,
  type Phase,
  podStatus,
  pods,
  projects,
  type ResolvedImages,
  releases,
} from "../schema/core.ts";
import { type PodText, readTexts } from "./pod-texts.ts";

/* Releases from `built` to their end, and pods on nodes, as worker/schedule reads them; it writes by placing.ts. */

export type AppRow = {
  readonly id: AppId;
  readonly name: string;
  readonly project: string;
  readonly projectId: ProjectId;
  readonly deleted: boolean;
};

/**
 * Those of these apps that there are, locked until the transaction ends: one pass over an app at a time, in
 * all workers. In the order of their ids, so that two passes over many never wait for one another.
 */
export async function lockApps(tx: Tx, ids: readonly AppId[]): Promise<readonly AppRow[]> {
  const rows = await tx
    .select({
      id: apps.id,
      name: apps.name,
      project: projects.name,
      projectId: apps.projectId,
      deletedAt: apps.deletedAt,
    })
    .from(apps)
    .innerJoin(projects, eq(projects.id, apps.projectId))
    .where(inArray(apps.id, [...ids]))
    .orderBy(asc(apps.id))
    .for("no key update", { of: apps });
  return rows.map(({ deletedAt, ...rest }) => ({ ...rest, deleted: deletedAt !== null }));
}

/** What time it is by the clock that all times in the database are from; ms since the epoch. */
export async function clockMs(tx: Tx): Promise<number> {
  const [clock] = await tx.execute<{ ms: number }>(
    sql`select extract(epoch from clock_timestamp())::float8 * 1000 as ms`,
  );
  if (clock === undefined) throw new Error("the database told no time");
  return clock.ms;
}

export type ReleaseRow = {
  readonly id: ReleaseId;
  readonly app: AppId;
  readonly number: number;
  readonly phase: Extract<Phase, "built" | "rolling" | "live">;
  readonly phaseAt: Date;
  readonly spec: AppSpec;
  readonly imageRepository: string | null;
  readonly imageDigest: Digest | null;
  readonly images: ResolvedImages | null;
  readonly materials: Materials;
  readonly httpPort: number | null;
  readonly newPods: boolean;
};

export async function activeReleases(
  tx: Tx,
  ids: readonly AppId[],
): Promise<readonly ReleaseRow[]> {
  const rows = await tx
    .select({
      id: releases.id,
      app: releases.appId,
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
    .where(
      and(inArray(releases.appId, [...ids]), inArray(releases.phase, ["built", "rolling", "live"])),
    );
  return rows.map(({ phase, ...row }) => ({ ...row, phase: phase as ReleaseRow["phase"] }));
}

/**
 * Of each of these apps the release whose pods are to stay though it failed, where there is one: the newest that
 * was built, of a spec that says so. One that is not built yet has no pods to put in their place.
 */
export async function heldReleases(
  tx: Tx,
  ids: readonly AppId[],
): Promise<ReadonlyMap<AppId, ReleaseId>> {
  const rows = await tx.execute<{ app: AppId; release: ReleaseId }>(sql`
    select app, id as release
    from unnest(${sql.param([...ids])}::uuid[]) as it (app), lateral (
      select id, phase, spec from ${releases}
      where app_id = app and image_digest is not null order by number desc limit 1) as newest
    where phase = 'failed' and spec -> 'rollout' -> 'autoRevert' = 'false'`);
  return new Map(rows.map(({ app, release }) => [app, release]));
}

export type PodRow = {
  readonly id: PodId;
  readonly app: AppId;
  readonly name: string;
  readonly release: ReleaseId;
  readonly node: NodeId;
  readonly wanted: "run" | "gone";
  readonly createdAt: Date;
  readonly goneAt: Date | null;
  /** One object for all pods that share it. */
  readonly text: PodText;
  readonly status: PodStatus | null;
  readonly since: Date | null;
};

/** Gone, and its node has not yet said in a report that it knows of that: it may run, or even be started. */
export const notYetGone = sql`(${pods.goneGeneration} > coalesce(${nodeStatus.observedGeneration}, -1))`;

/** The apps' pods that are wanted, and those that are gone and not known to have ended. */
export async function standingPods(tx: Tx, ids: readonly AppId[]): Promise<readonly PodRow[]> {
  const rows = await tx
    .select({
      id: pods.id,
      app: pods.appId,
      name: pods.name,
      release: pods.releaseId,
      node: pods.nodeId,
      wanted: pods.wanted,
      createdAt: pods.createdAt,
      goneAt: pods.goneAt,
      textId: pods.textId,
      status: podStatus.status,
      since: podStatus.since,
    })
    .from(pods)
    .leftJoin(podStatus, eq(podStatus.podId, pods.id))
    .leftJoin(nodeStatus, eq(nodeStatus.nodeId, pods.nodeId))
    .where(
      and(
        inArray(pods.appId, [...ids]),
        sql`(${pods.wanted} = 'run' or ${podStatus.podId} is not null or ${notYetGone})`,
      ),
    );
  const texts = await readTexts(tx, new Set(rows.map((it) => it.textId)));
  return rows.map(({ textId, ...row }) => {
    const text = texts.get(textId);
    if (!text) throw new Error(`pod ${row.id} has no text`);
    return { ...row, text };
  });
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
