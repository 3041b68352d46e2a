import { and, asc, eq, inArray, or, sql } from "drizzle-orm";
import type { AppId, NodeId, PodId, ReleaseId } from "../../contract/ids.ts";
import type { NodeReport, PodStatus } from "../../contract/node/protocol.ts";
import type { Db, Tx } from "../client.ts";
import { recordOnce } from "../events.ts";
import { announce, nudge } from "../outbox.ts";
import { nodeStatus, nodes, type PodUsage, podStatus, pods, releases } from "../schema/core.ts";
import { type AddressTrouble, storeAddress } from "./addresses.ts";
import { renewRoutesTo } from "./routes.ts";
import { planSight, type SightChange } from "./sight-plan.ts";
import { usageOf, withoutUsage, withUsage } from "./usage.ts";

/** A probe that fails every other second is one event a minute. */
const SAME_EVENT_SECONDS = 60;

export type PodSighting = {
  readonly pod: PodId;
  readonly name: string;
  readonly node: string;
  readonly release: number;
  readonly wanted: "run" | "gone";
  /** Null: its node has not seen it. */
  readonly status: PodStatus | null;
  /** When its node last spoke; null: never. */
  readonly nodeSeenAt: Date | null;
};

/** Each app's pods that should run, and those that should not and are still seen; no entry for an app without one. */
export async function podsOfApps(
  tx: Tx,
  ids: readonly AppId[],
): Promise<ReadonlyMap<AppId, readonly PodSighting[]>> {
  const rows = await tx
    .select({
      app: pods.appId,
      pod: pods.id,
      name: sql<string>`${pods.spec}->'metadata'->>'name'`,
      node: nodes.name,
      release: releases.number,
      wanted: pods.wanted,
      status: podStatus.status,
      usage: sql<PodUsage | null>`${nodeStatus.usage} -> ${pods.id}::text`,
      nodeSeenAt: nodeStatus.seenAt,
    })
    .from(pods)
    .innerJoin(nodes, eq(nodes.id, pods.nodeId))
    .innerJoin(releases, eq(releases.id, pods.releaseId))
    .leftJoin(podStatus, eq(podStatus.podId, pods.id))
    .leftJoin(nodeStatus, eq(nodeStatus.nodeId, pods.nodeId))
    .where(
      and(
        inArray(pods.appId, [...ids]),
        or(eq(pods.wanted, "run"), sql`${podStatus.podId} is not null`),
      ),
    )
    .orderBy(asc(releases.number), asc(pods.createdAt), asc(pods.id))
    .limit(20_000);
  const seen = rows.map(({ usage, status, ...row }) => ({
    ...row,
    status: status && withUsage(status, usage),
  }));
  return Map.groupBy(seen, (row) => row.app);
}

// ---- called by api alone, with an agent's report ----------------------------------------------------

export type SightOutcome =
  | {
      readonly kind: "stored";
      readonly strangers: readonly PodId[];
      readonly address: AddressTrouble;
    }
  /** The report was made before one that is stored: only the sign of life was taken. */
  | { readonly kind: "older"; readonly known: number };

/**
 * Stores what a node saw, whole: pods it no longer names are no longer there. Wakes the scheduler
 * and those who wait, once an app, and only when something changed that matters. Two reports of
 * one node at once go one after the other.
 */
export async function storeReport(db: Db, node: NodeId, report: NodeReport): Promise<SightOutcome> {
  return await db.transaction(async (tx): Promise<SightOutcome> => {
    const known = await storeSignOfLife(tx, node, report);
    if (known > report.observedGeneration) return { kind: "older", known };
    const change = planSight(await knownPods(tx, node, report), report.pods.map(withoutUsage));
    await storePods(tx, node, change);
    for (const event of change.happened) await recordOnce(tx, event, SAME_EVENT_SECONDS);
    for (const app of change.apps) {
      await nudge(tx, "schedule", app);
      await announce(tx, `app:${app}`);
    }
    // Last: where they move, one transaction at a time has the routes of all.
    const address = await storeAddress(tx, node, report.address);
    for (const app of change.readied) await renewRoutesTo(tx, app);
    return { kind: "stored", strangers: change.strangers, address };
  });
}

/** Answers the newest generation that this node ever reported, this report included. */
async function storeSignOfLife(tx: Tx, node: NodeId, report: NodeReport): Promise<number> {
  const { pods: reported, purgedVolumes: _, address: __, ...life } = report;
  const newer = sql`excluded.observed_generation >= ${nodeStatus.observedGeneration}`;
  const [row] = await tx
    .insert(nodeStatus)
    .values({ nodeId: node, ...life, usage: usageOf(reported) })
    .onConflictDoUpdate({
      target: nodeStatus.nodeId,
      set: {
        seenAt: sql`now()`,
        observedGeneration: sql`greatest(${nodeStatus.observedGeneration}, excluded.observed_generation)`,
        bootId: sql`case when ${newer} then excluded.boot_id else ${nodeStatus.bootId} end`,
        version: sql`case when ${newer} then excluded.version else ${nodeStatus.version} end`,
        capacity: sql`case when ${newer} then excluded.capacity else ${nodeStatus.capacity} end`,
        usage: sql`case when ${newer} then excluded.usage else ${nodeStatus.usage} end`,
        handlers: sql`case when ${newer} then excluded.handlers else ${nodeStatus.handlers} end`,
      },
    })
    .returning({ observedGeneration: nodeStatus.observedGeneration });
  if (row === undefined) throw new Error("the upsert of node_status returned no row");
  return row.observedGeneration;
}

/** The node's own pods that were seen before or are named now. */
async function knownPods(tx: Tx, node: NodeId, report: NodeReport) {
  const named = report.pods.map((status) => status.pod);
  return await tx
    .select({
      pod: pods.id,
      name: sql<string>`${pods.spec}->'metadata'->>'name'`,
      app: pods.appId,
      release: pods.releaseId,
      status: podStatus.status,
    })
    .from(pods)
    .leftJoin(podStatus, eq(podStatus.podId, pods.id))
    .where(
      and(
        eq(pods.nodeId, node),
        or(sql`${podStatus.podId} is not null`, named.length ? inArray(pods.id, named) : undefined),
      ),
    );
}

async function storePods(
  tx: Tx,
  node: NodeId,
  change: SightChange<AppId, ReleaseId>,
): Promise<void> {
  if (change.forget.length > 0) {
    await tx
      .delete(podStatus)
      .where(and(eq(podStatus.nodeId, node), inArray(podStatus.podId, [...change.forget])));
  }
  const moved = new Set(change.store.filter((it) => it.moved).map((it) => it.status.pod));
  const rows = change.store.map(({ status }) => ({
    podId: status.pod,
    nodeId: node,
    status,
  }));
  for (const [part, keepSince] of [
    [rows.filter((row) => moved.has(row.podId)), false],
    [rows.filter((row) => !moved.has(row.podId)), true],
  ] as const) {
    if (part.length === 0) continue;
    await tx
      .insert(podStatus)
      .values(part)
      .onConflictDoUpdate({
        target: podStatus.podId,
        set: {
          nodeId: node,
          status: sql`excluded.status`,
          ...(!keepSince && { since: sql`now()` }),
        },
      });
  }
}
