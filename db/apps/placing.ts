import { and, eq, inArray, sql } from "drizzle-orm";
import type { AppId, NodeId, PodId, ReleaseId } from "../../contract/ids.ts";
import type { Tx } from "../client.ts";
import { type Event, recordAll } from "../events.ts";
import { renewRoutesTo } from "../nodes/routes.ts";
import { announceAll } from "../outbox.ts";
import { type Failure, nodePlans, type Phase, pods, releases } from "../schema/core.ts";
import { bindVolumes, type Claimed } from "../volumes/homes.ts";
import { keepTexts, type NewText } from "./pod-texts.ts";

/* What a pass of the scheduler changes, each kind in one statement. Only worker/schedule calls what is here. */

/** Somebody else changed what was read since then: read again and plan anew. */
export class PlanOutdated extends Error {}

/** All that one transaction changes, of one app or of many. */
export type Changes = {
  /** The text of each release that pods are made of, or come to be of. */
  readonly texts: ReadonlyMap<ReleaseId, NewText>;
  readonly placed: readonly {
    readonly id: PodId;
    readonly app: AppId;
    readonly release: ReleaseId;
    readonly node: NodeId;
    readonly name: string;
    readonly nodePort: number | null;
  }[];
  /** Pods that run become this release's, with its text and their own name. */
  readonly adopted: readonly { readonly id: PodId; readonly release: ReleaseId }[];
  readonly removed: readonly { readonly id: PodId; readonly node: NodeId }[];
  readonly claimed: readonly Claimed[];
  /** The nodes whose wish changes by any of that, with the generation that the plan was made for. */
  readonly nodes: ReadonlyMap<NodeId, number>;
  /** The apps whose pods come or go. */
  readonly apps: readonly AppId[];
  readonly moves: readonly Move[];
  readonly events: readonly Event[];
};

/** From which phases each one may be entered: releases only move forward. */
const ENTERED_FROM = {
  rolling: ["built"],
  live: ["built", "rolling"],
  retired: ["live"],
  superseded: ["built", "rolling"],
  cancelled: ["built", "rolling"],
  failed: ["built", "rolling"],
} as const satisfies Partial<Record<Phase, readonly Phase[]>>;

/** A release moves forward, from the phase that was read. */
export type Move = {
  readonly release: ReleaseId;
  readonly before: Phase;
  readonly to: keyof typeof ENTERED_FROM;
  readonly failure?: Failure;
  readonly supersededBy?: number;
  readonly cancelledBy?: string;
};

/**
 * Carries the changes out, or throws PlanOutdated. Locks come in one order everywhere: volumes, the nodes'
 * generations, releases, and the routes of all last; so passes of several workers wait for one another and
 * never in a circle. Nothing is written for a plan that is outdated by then.
 */
export async function carryOut(tx: Tx, changes: Changes): Promise<void> {
  await bindVolumes(tx, changes.claimed);
  await raiseGenerations(tx, changes.nodes);
  await moveReleases(tx, changes.moves);
  const texts = await keepTexts(tx, changes.texts);
  await addPods(tx, changes.placed, texts);
  await adoptPods(tx, changes.adopted, texts);
  await removePods(tx, changes);
  await recordAll(tx, changes.events);
  if (changes.apps.length > 0) await renewRoutesTo(tx, ...changes.apps);
}

/** What these nodes should run has changed: +1, unless a generation is no longer the one that was read. */
async function raiseGenerations(tx: Tx, from: ReadonlyMap<NodeId, number>): Promise<void> {
  if (from.size === 0) return;
  // An update alone takes its rows in any order.
  const raised = await tx.execute(sql`
    with read as (
      select * from unnest(${sql.param([...from.keys()])}::uuid[], ${sql.param([...from.values()])}::bigint[])
        as it (node, generation)),
    held as materialized (
      select node_id from ${nodePlans} join read on node = node_id
      where ${nodePlans.generation} = read.generation
      order by node_id for no key update of node_plans)
    update ${nodePlans} set generation = generation + 1
    where node_id in (select node_id from held) returning 1`);
  if (raised.length < from.size)
    throw new PlanOutdated(`${from.size - raised.length} nodes are past what was planned for`);
  await announceAll(
    tx,
    [...from.keys()].map((it) => `node:${it}` as const),
  );
}

async function moveReleases(tx: Tx, moves: readonly Move[]): Promise<void> {
  if (moves.length === 0) return;
  const back = moves.find(({ before, to }) => !ENTERED_FROM[to].some((it) => it === before));
  if (back) throw new Error(`release ${back.release} would go from ${back.before} to ${back.to}`);
  const moved = await tx.execute(sql`
    update ${releases} set phase = it."to", phase_at = now(),
      failure = coalesce(it.failure, releases.failure),
      superseded_by = coalesce(it."supersededBy", superseded_by),
      cancelled_by = coalesce(it."cancelledBy", cancelled_by)
    from jsonb_to_recordset(${JSON.stringify(moves)}::jsonb) as it (
      release uuid, before text, "to" text, failure jsonb, "supersededBy" int, "cancelledBy" text)
    where id = it.release and phase = it.before returning 1`);
  if (moved.length < moves.length) throw new PlanOutdated("a release has moved on");
}

async function addPods(
  tx: Tx,
  placed: Changes["placed"],
  texts: ReadonlyMap<ReleaseId, number>,
): Promise<void> {
  if (placed.length === 0) return;
  const column = <T>(of: (pod: Changes["placed"][number]) => T) => sql.param(placed.map(of));
  await tx.execute(sql`
    insert into ${pods} (id, app_id, release_id, node_id, name, text_id, node_port)
    select * from unnest(
      ${column((it) => it.id)}::uuid[], ${column((it) => it.app)}::uuid[],
      ${column((it) => it.release)}::uuid[], ${column((it) => it.node)}::uuid[],
      ${column((it) => it.name)}::text[], ${column((it) => texts.get(it.release))}::bigint[],
      ${column((it) => it.nodePort)}::int[])`);
}

async function adoptPods(
  tx: Tx,
  adopted: Changes["adopted"],
  texts: ReadonlyMap<ReleaseId, number>,
): Promise<void> {
  if (adopted.length === 0) return;
  const column = <T>(of: (pod: Changes["adopted"][number]) => T) => sql.param(adopted.map(of));
  await tx.execute(sql`
    update ${pods} set release_id = it.release, text_id = it.text
    from unnest(${column((it) => it.id)}::uuid[], ${column((it) => it.release)}::uuid[],
      ${column((it) => texts.get(it.release))}::bigint[]) as it (id, release, text)
    where pods.id = it.id and wanted = 'run'`);
}

/**
 * Each is gone with the generation that its node is given by this. Of a node that was removed nobody is left
 * to say that the pod has ended: it is forgotten at once.
 */
async function removePods(tx: Tx, { removed, nodes }: Changes): Promise<void> {
  const leaving = removed.flatMap(({ id, node }) => {
    const before = nodes.get(node);
    return before === undefined ? [] : [{ id, generation: before + 1 }];
  });
  const left = removed.filter((it) => !nodes.has(it.node)).map((it) => it.id);
  if (leaving.length > 0)
    await tx.execute(sql`
      update ${pods} set wanted = 'gone', gone_at = now(), gone_generation = it.generation
      from unnest(${sql.param(leaving.map((it) => it.id))}::uuid[],
        ${sql.param(leaving.map((it) => it.generation))}::bigint[]) as it (id, generation)
      where pods.id = it.id and wanted = 'run'`);
  if (left.length > 0)
    await tx.delete(pods).where(and(inArray(pods.id, left), eq(pods.wanted, "run")));
}

/** The last words of each of these releases on where its pods are to be; none where nothing was said yet. */
export async function saidOfPlaces(
  tx: Tx,
  ids: readonly ReleaseId[],
): Promise<ReadonlyMap<ReleaseId, string>> {
  if (ids.length === 0) return new Map();
  const rows = await tx.execute<{ release: ReleaseId; message: string }>(sql`
    select release, message from unnest(${sql.param(ids)}::uuid[]) as it (release), lateral (
      select message from events
      where release_id = release and type in ('pod-waiting', 'pod-placed')
      order by id desc limit 1) as last`);
  return new Map(rows.map(({ release, message }) => [release, message]));
}

/** Releases of deleted apps that never got as far as the scheduler. */
export async function cancelUnbuilt(tx: Tx, ids: readonly AppId[], by: string): Promise<void> {
  if (ids.length === 0) return;
  const cancelled = await tx
    .update(releases)
    .set({ phase: "cancelled", phaseAt: sql`now()`, cancelledBy: by })
    .where(and(inArray(releases.appId, [...ids]), inArray(releases.phase, ["pending", "building"])))
    .returning({ release: releases.id, app: releases.appId });
  const message = `cancelled by ${by}`;
  await recordAll(
    tx,
    cancelled.map((it) => ({ ...it, type: "release-cancelled", message })),
  );
}
