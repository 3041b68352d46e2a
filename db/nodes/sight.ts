import { and, asc, eq, inArray, or, sql } from "drizzle-orm";
import type { AppId, NodeId, PodId, ReleaseId } from "../../contract/ids.ts";
import type { NodeReport, PodStatus } from "../../contract/node/protocol.ts";
import { PROTOCOL } from "../../contract/node/skew.ts";
import { anyOf } from "../any-of.ts";
import type { Db, Tx } from "../client.ts";
import { brokenConstraint } from "../errors.ts";
import { recordOnce } from "../events.ts";
import { announce, nudge } from "../outbox.ts";
import { nodeStatus, nodes, type PodUsage, podStatus, pods, releases } from "../schema/core.ts";
import { type AddressTrouble, isStored, storeAddresses } from "./addresses.ts";
import { byNode } from "./by-node.ts";
import { type Ahead, aheadAmong } from "./history.ts";
import { isLate } from "./late.ts";
import { renewRoutesTo } from "./routes.ts";
import { planSight, type SightChange } from "./sight-plan.ts";
import { storeStrangers, strangersAmong } from "./strangers.ts";
import { usageOf, withoutUsage, withUsage } from "./usage.ts";

/** A probe that fails every other second is one event a minute. */
const SAME_EVENT_SECONDS = 60;
/** What keeps a report of a node that is no more from being stored. */
export const STATUS_OF_A_NODE = "node_status_node_id_nodes_id_fk";

export type PodSighting = {
  readonly pod: PodId;
  readonly name: string;
  /** Null: it ran to its end there, and the node was removed since. */
  readonly node: string | null;
  readonly release: number;
  readonly wanted: "run" | "gone";
  /** Null: its node has not seen it. */
  readonly status: PodStatus | null;
  /** When its node last spoke; null: never. */
  readonly nodeSeenAt: Date | null;
  /** What its node's agent speaks; null before it spoke. */
  readonly nodeProtocol: number | null;
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
      name: pods.name,
      node: nodes.name,
      release: releases.number,
      wanted: pods.wanted,
      status: podStatus.status,
      usage: sql<PodUsage | null>`${nodeStatus.usage} -> ${pods.id}::text`,
      nodeSeenAt: nodeStatus.seenAt,
      nodeProtocol: nodeStatus.protocol,
    })
    .from(pods)
    .leftJoin(nodes, eq(nodes.id, pods.nodeId))
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
      /** Pods that are not its own, and were not in the report before either. */
      readonly newStrangers: readonly PodId[];
      readonly address: AddressTrouble;
      /** It holds a wish of another history; of which generation it is says nothing here. */
      readonly ahead: Ahead | undefined;
    }
  /** The report was made before one that is stored: only the sign of life was taken. */
  | { readonly kind: "older"; readonly known: number }
  /** One that was made later in the same boot is stored: nothing of this one was taken. */
  | { readonly kind: "late" }
  /** The node was removed while its report was on the way. */
  | { readonly kind: "no-node" };

/** A report, and what the next one is told by as its repetition: see repetitions.ts. */
export type Said = {
  readonly node: NodeId;
  readonly report: NodeReport;
  /** Of the agent that says so; no later one than ours. */
  readonly protocol: number;
  readonly print: string | null;
  /** The api's own address, which no node may tell. */
  readonly apis?: string | undefined;
};

/** Stores what one node saw, as `storeReports` does. */
export async function storeReport(
  db: Db,
  node: NodeId,
  report: NodeReport,
  { print = null, protocol = PROTOCOL }: Partial<Pick<Said, "print" | "protocol">> = {},
): Promise<SightOutcome> {
  const [outcome] = await storeReports(db, [{ node, report, protocol, print }]);
  if (outcome === undefined) throw new Error("the only report was not stored");
  return outcome;
}

/**
 * Stores what nodes saw, each whole: pods that a node no longer names are no longer there. Wakes the
 * scheduler and those who wait, once an app, and only when something changed that matters. Two reports
 * of one node go one after the other: of the second one in here and all behind it nothing is said.
 * Throws where one of several nodes is no more: each is then to be asked about alone.
 */
export async function storeReports(db: Db, all: readonly Said[]): Promise<readonly SightOutcome[]> {
  const said = untilOneComesTwice(all);
  try {
    return await db.transaction((tx) => storeEach(tx, said));
  } catch (error) {
    if (said.length > 1 || brokenConstraint(error) !== STATUS_OF_A_NODE) throw error;
    return [{ kind: "no-node" }];
  }
}

async function storeEach(tx: Tx, said: readonly Said[]): Promise<readonly SightOutcome[]> {
  const ahead = await aheadAmong(tx, said);
  const lives = await storeSignsOfLife(tx, said, ahead);
  const newer = said.filter(({ node, report }) => {
    const life = lives.get(node);
    if (life === undefined) return false;
    return ahead.has(node) || life.observedGeneration <= report.observedGeneration;
  });
  const known = await knownPods(tx, newer);
  const changes = new Map(
    newer.map(({ node, report }) => [
      node,
      planSight(known.get(node) ?? [], report.pods.map(withoutUsage)),
    ]),
  );
  await storePods(tx, changes);
  const happened = [...changes.values()].flatMap((it) => it.happened);
  for (const event of happened) await recordOnce(tx, event, SAME_EVENT_SECONDS);
  for (const app of new Set([...changes.values()].flatMap((it) => it.apps))) {
    await nudge(tx, "schedule", app);
    await announce(tx, `app:${app}`);
  }
  const strangers = new Map<NodeId, readonly PodId[]>();
  for (const { node, report } of newer) {
    const now = strangersAmong(report.pods, changes.get(node)?.strangers ?? []);
    strangers.set(node, await storeStrangers(tx, node, now, lives.get(node)?.strangers ?? []));
  }
  // Last: where they move, one transaction at a time has the routes of all.
  const told = newer.flatMap(({ node, report: { address }, apis }) => {
    const life = lives.get(node);
    const isNews = address !== undefined && life !== undefined && !isStored(life, address);
    return isNews ? { node, told: address, apis } : [];
  });
  const troubles = await storeAddresses(tx, told);
  const readied = new Set([...changes.values()].flatMap((it) => it.readied));
  if (readied.size > 0) await renewRoutesTo(tx, ...readied);
  return said.map(({ node }): SightOutcome => {
    const life = lives.get(node);
    if (life === undefined) return { kind: "late" };
    const newStrangers = strangers.get(node);
    if (newStrangers === undefined) return { kind: "older", known: life.observedGeneration };
    return { kind: "stored", newStrangers, address: troubles.get(node), ahead: ahead.get(node) };
  });
}

function untilOneComesTwice(said: readonly Said[]): readonly Said[] {
  const nodes = new Set<NodeId>();
  const end = said.findIndex(({ node }) => nodes.size === nodes.add(node).size);
  return end < 0 ? said : said.slice(0, end);
}

type Changes = ReadonlyMap<NodeId, SightChange<AppId, ReleaseId>>;

/**
 * By node, the newest generation that it ever reported, these reports included, and where it is reached. The
 * generations of another history count for nothing, and those who tell them are read whole each time.
 * None for a report that comes late, which says nothing of now.
 */
async function storeSignsOfLife(tx: Tx, said: readonly Said[], ahead: ReadonlyMap<NodeId, Ahead>) {
  const newer = sql`(excluded.ahead is not null
    or excluded.observed_generation >= ${nodeStatus.observedGeneration})`;
  const rows = said.map(({ node, report, protocol, print }) => {
    const { pods: reported, purgedVolumes: _, address: __, observedMark: ___, ...life } = report;
    const row = { nodeId: node, ...life, protocol, usage: usageOf(reported) };
    const held = ahead.get(node)?.held;
    return held === undefined
      ? { ...row, lastReport: print, ahead: null }
      : { ...row, lastReport: null, ahead: held, observedGeneration: 0 };
  });
  const stored = await tx
    .insert(nodeStatus)
    // In one order everywhere, so that no two of these wait for each other.
    .values(rows.toSorted((a, b) => (a.nodeId < b.nodeId ? -1 : 1)))
    .onConflictDoUpdate({
      target: nodeStatus.nodeId,
      set: {
        seenAt: sql`now()`,
        observedGeneration: sql`greatest(${nodeStatus.observedGeneration}, excluded.observed_generation)`,
        sinceBootMs: sql`case when ${newer} then excluded.since_boot_ms else ${nodeStatus.sinceBootMs} end`,
        bootId: sql`case when ${newer} then excluded.boot_id else ${nodeStatus.bootId} end`,
        version: sql`case when ${newer} then excluded.version else ${nodeStatus.version} end`,
        protocol: sql`case when ${newer} then excluded.protocol else ${nodeStatus.protocol} end`,
        capacity: sql`case when ${newer} then excluded.capacity else ${nodeStatus.capacity} end`,
        usage: sql`case when ${newer} then excluded.usage else ${nodeStatus.usage} end`,
        handlers: sql`case when ${newer} then excluded.handlers else ${nodeStatus.handlers} end`,
        ahead: sql`excluded.ahead`,
        lastReport: sql`case when not ${newer} then ${nodeStatus.lastReport}
          when ${nodeStatus.strangers} = '[]' then excluded.last_report end`,
      },
      setWhere: sql`not ${isLate(sql`excluded.boot_id`, sql`excluded.since_boot_ms`)}`,
    })
    .returning({
      node: nodeStatus.nodeId,
      observedGeneration: nodeStatus.observedGeneration,
      address: nodeStatus.address,
      told: nodeStatus.toldAddress,
      strangers: nodeStatus.strangers,
    });
  return new Map(stored.map(({ node, ...life }) => [node, life]));
}

/** Each node's own pods that were seen before or are named now. */
async function knownPods(tx: Tx, said: readonly Said[]) {
  const named = said.flatMap(({ report }) => report.pods.map((status) => status.pod));
  const rows = await tx
    .select({
      node: sql<NodeId>`${pods.nodeId}`,
      pod: pods.id,
      name: pods.name,
      app: pods.appId,
      release: pods.releaseId,
      status: podStatus.status,
    })
    .from(pods)
    .leftJoin(podStatus, eq(podStatus.podId, pods.id))
    .where(
      and(
        anyOf(
          pods.nodeId,
          said.map(({ node }) => node),
        ),
        or(sql`${podStatus.podId} is not null`, anyOf(pods.id, named)),
      ),
    );
  return byNode(rows, ({ node: _, ...pod }) => pod);
}

async function storePods(tx: Tx, changes: Changes): Promise<void> {
  const forget = [...changes.values()].flatMap((it) => it.forget);
  if (forget.length > 0) await tx.delete(podStatus).where(anyOf(podStatus.podId, forget));
  const rows = [...changes].flatMap(([nodeId, change]) =>
    change.store.map(({ status, moved }) => ({ podId: status.pod, nodeId, status, moved })),
  );
  for (const moved of [true, false]) {
    const part = rows.filter((it) => it.moved === moved).map(({ moved: _, ...row }) => row);
    if (part.length === 0) continue;
    await tx
      .insert(podStatus)
      .values(part.toSorted((a, b) => (a.podId < b.podId ? -1 : 1)))
      .onConflictDoUpdate({
        target: podStatus.podId,
        set: {
          nodeId: sql`excluded.node_id`,
          status: sql`excluded.status`,
          ...(moved && { since: sql`now()` }),
        },
      });
  }
}
