import { and, asc, eq, isNotNull, sql } from "drizzle-orm";
import type { AppId, NodeId, PodId, ReleaseId } from "../../contract/ids.ts";
import type { Held } from "../../contract/node/protocol.ts";
import { SILENT_AFTER_MS } from "../../contract/placement/filter.ts";
import { strategyOf } from "../../contract/placement/strategy.ts";
import { anyOf } from "../any-of.ts";
import type { Db, Tx } from "../client.ts";
import { record } from "../events.ts";
import { announce, announceAll, nudge } from "../outbox.ts";
import { apps, nodePlans, nodeStatus, podStatus, pods, podTexts } from "../schema/core.ts";
import { renewRoutesTo } from "./routes.ts";

/*
 * How a node that is ahead becomes this database's own again, when a person says so. For a while it keeps the
 * pods that are not known here, so that they serve until what is wanted in their place is ready.
 */

/** What never becomes ready keeps the unknown pods for no longer. */
const KEPT_FOR = sql`interval '5 minutes'`;
/** Of a node that was not heard of for so long nobody knows whether its pods serve. */
const SILENT_FOR = sql.raw(`interval '${SILENT_AFTER_MS} milliseconds'`);

// ---- called by api alone ----------------------------------------------------------------------------

/** A pod that the node should run, by this database. */
export type WantedPod = {
  readonly id: PodId;
  readonly name: string;
  readonly app: AppId;
  readonly appName: string;
  readonly release: ReleaseId;
  /** Whether the node told of it in its last report. */
  readonly there: boolean;
  /** No two of its kind may run at a time: see strategy.ts. */
  readonly exclusive: boolean;
};

export async function podsWantedOn(tx: Tx, node: NodeId): Promise<readonly WantedPod[]> {
  const rows = await tx
    .select({
      id: pods.id,
      name: pods.name,
      app: apps.id,
      appName: apps.name,
      release: pods.releaseId,
      there: isNotNull(podStatus.podId).mapWith(Boolean),
      spec: podTexts.spec,
    })
    .from(pods)
    .innerJoin(podTexts, eq(podTexts.id, pods.textId))
    .innerJoin(apps, eq(apps.id, pods.appId))
    .leftJoin(podStatus, eq(podStatus.podId, pods.id))
    .where(and(eq(pods.nodeId, node), eq(pods.wanted, "run")))
    .orderBy(asc(apps.name), asc(pods.createdAt), asc(pods.id));
  return rows.map(({ spec, ...pod }) => ({
    ...pod,
    exclusive: strategyOf(spec).kind === "recreate",
  }));
}

/**
 * Joins the two histories: the node's wish goes on above both, and what the node holds counts as this
 * database's own from here on. Answers the generation from which on the node does as it is told.
 */
export async function joinHistories(tx: Tx, node: NodeId, { generation, mark }: Held) {
  const known = mark === undefined ? nodePlans.marks : sql`${mark}::uuid || ${nodePlans.marks}`;
  const [joined] = await tx
    .update(nodePlans)
    .set({
      generation: sql`greatest(${nodePlans.generation}, ${generation}) + 1`,
      marks: sql`${known}`,
      adoptedAt: sql`now()`,
    })
    .where(eq(nodePlans.nodeId, node))
    .returning({ generation: nodePlans.generation });
  if (joined === undefined) throw new Error(`node ${node} has no plan`);
  await tx
    .update(nodeStatus)
    .set({ ahead: null, lastReport: null })
    .where(eq(nodeStatus.nodeId, node));
  await announce(tx, `node:${node}`);
  return joined.generation;
}

/**
 * Takes back what must not start there now, since another of its kind may run: the scheduler places it
 * anew once that is over. With the generation that is the first without them. Call it last, as
 * `renewRoutesTo`, which it calls.
 */
export async function withdraw(
  tx: Tx,
  withdrawn: readonly WantedPod[],
  goneGeneration: number,
): Promise<void> {
  if (withdrawn.length === 0) return;
  await tx
    .update(pods)
    .set({ wanted: "gone", goneAt: sql`now()`, goneGeneration })
    .where(
      and(
        eq(pods.wanted, "run"),
        anyOf(
          pods.id,
          withdrawn.map((it) => it.id),
        ),
      ),
    );
  for (const { app, release, name } of withdrawn) {
    const message = `pod ${name} leaves: its node came back ahead of the database, and did not run it`;
    await record(tx, { app, release, type: "pod-removed", message });
    await nudge(tx, "schedule", app);
  }
  await renewRoutesTo(tx, ...new Set(withdrawn.map((it) => it.app)));
}

// ---- called by worker/nodes alone -------------------------------------------------------------------

/**
 * Ends what adopted nodes keep, of all at once: when each pod that is wanted on one of them is ready or over,
 * no node with wanted pods is silent and none is left to adopt, or when that takes too long. Answers how
 * many nodes that concerns.
 */
export async function endAdoptions(db: Db): Promise<number> {
  return await db.transaction(async (tx) => {
    const ended = await tx.execute<{ node: NodeId }>(sql`
      with held as materialized (
        select node_id from node_plans
        where adopted_at is not null and (adopted_at < now() - ${KEPT_FOR} or not exists (
          select from node_status join nodes on nodes.id = node_status.node_id
          where ahead is not null and fenced_at is null
          union all
          select from pods join node_plans as plan on plan.node_id = pods.node_id
            left join node_status on node_status.node_id = pods.node_id
            left join pod_status on pod_status.pod_id = pods.id
          where wanted = 'run' and (coalesce(seen_at < now() - ${SILENT_FOR}, true)
            or plan.adopted_at is not null and not coalesce((status ->> 'ready')::boolean, false))
            and coalesce(status ->> 'phase', '') not in ('Succeeded', 'Failed')))
        order by node_id for no key update of node_plans)
      update node_plans set generation = generation + 1, adopted_at = null
      where node_id in (select node_id from held) returning node_id as node`);
    if (ended.length > 0)
      await announceAll(
        tx,
        ended.map((it) => `node:${it.node}` as const),
      );
    return ended.length;
  });
}
