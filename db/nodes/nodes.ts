import { and, asc, eq, gt, inArray, isNotNull, ne, or, sql } from "drizzle-orm";
import { type NodeId, NodeId as NodeIdSchema, type PodId } from "../../contract/ids.ts";
import { type Most, offered } from "../../contract/node/host.ts";
import type { Held, PodStatus } from "../../contract/node/protocol.ts";
import type { Amounts } from "../../contract/pod/requests.ts";
import { isLive } from "../access/tokens.ts";
import { notYetGone } from "../apps/placements.ts";
import { askedByText, demandsIn } from "../apps/pod-texts.ts";
import type { Tx } from "../client.ts";
import {
  apps,
  nodeStatus,
  nodes,
  podStatus,
  pods,
  podTexts,
  projects,
  type Stranger,
  tokens,
} from "../schema/core.ts";

export type NodeView = {
  readonly id: NodeId;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly cordoned: boolean;
  readonly draining: boolean;
  readonly fencedAt: Date | null;
  /** It has a token that the api takes. */
  readonly known: boolean;
  readonly joinedAt: Date;
  readonly podRange: string | null;
  readonly seenAt: Date | null;
  readonly version: string | null;
  /** What its agent speaks; null before it spoke. */
  readonly protocol: number | null;
  /** Where other nodes reach it. */
  readonly address: string | null;
  /** Where it says that it is reached. */
  readonly toldAddress: string | null;
  /** What it offers: as it reports, and no more than people let it. */
  readonly capacity: Amounts | null;
  readonly most: Most;
  /** What its pods ask for, wanted there or still seen there. */
  readonly asked: Amounts;
  readonly handlers: readonly string[];
  /** Of its wish; 0 where nobody has planned for it. */
  readonly generation: number;
  /** What it holds, where this database never made that. */
  readonly ahead: Held | null;
  /** Pods that it has, or may have, and of which this database knows nothing. */
  readonly strangers: readonly Stranger[];
  /** How many pods it should run, without those that have run to their end. */
  readonly pods: number;
};

/** Of pods left joined with their status. */
const notOver = sql`coalesce(${podStatus.status} ->> 'phase', '') not in ('Succeeded', 'Failed')`;

const VIEW = {
  id: nodes.id,
  name: nodes.name,
  labels: nodes.labels,
  cordoned: nodes.cordoned,
  draining: nodes.draining,
  fencedAt: nodes.fencedAt,
  known: sql<boolean>`${nodes.name} in (
    select ${tokens.nodeName} from ${tokens} where ${tokens.kind} = 'node' and ${isLive()})`,
  joinedAt: nodes.joinedAt,
  podRange: nodes.podRange,
  seenAt: nodeStatus.seenAt,
  version: nodeStatus.version,
  protocol: nodeStatus.protocol,
  address: nodeStatus.address,
  toldAddress: nodeStatus.toldAddress,
  reported: nodeStatus.capacity,
  most: nodes.most,
  handlers: sql<string[]>`coalesce(${nodeStatus.handlers}, '{}')`,
  generation: sql<number>`coalesce((select generation from node_plans
    where node_plans.node_id = ${nodes.id}), 0)::float8`,
  ahead: nodeStatus.ahead,
  strangers: sql<readonly Stranger[]>`coalesce(${nodeStatus.strangers}, '[]')`,
  pods: sql<number>`(
    select count(*)::int from ${pods} left join ${podStatus} on ${podStatus.podId} = ${pods.id}
    where ${pods.nodeId} = ${nodes.id} and ${pods.wanted} = 'run' and ${notOver})`,
};

/** A page of the hosts, by name. */
export async function listNodes(
  tx: Tx,
  page: { readonly limit: number; readonly after: string | undefined },
): Promise<readonly NodeView[]> {
  const rows = await tx
    .select(VIEW)
    .from(nodes)
    .leftJoin(nodeStatus, eq(nodeStatus.nodeId, nodes.id))
    .where(page.after === undefined ? undefined : gt(nodes.name, page.after))
    .orderBy(asc(nodes.name))
    .limit(page.limit);
  return await withAsked(tx, rows);
}

/** The host of this name. */
export async function viewNode(tx: Tx, name: string): Promise<NodeView | undefined> {
  const rows = await tx
    .select(VIEW)
    .from(nodes)
    .leftJoin(nodeStatus, eq(nodeStatus.nodeId, nodes.id))
    .where(eq(nodes.name, name));
  return (await withAsked(tx, rows))[0];
}

/** The id of the node of this name; undefined before it joined. */
export async function findNode(tx: Tx, name: string): Promise<NodeId | undefined> {
  const [row] = await tx.select({ id: nodes.id }).from(nodes).where(eq(nodes.name, name));
  return row && NodeIdSchema.parse(row.id);
}

/** Those of these pods that are another node's. */
export async function podsOfOthers(
  tx: Tx,
  node: NodeId,
  ids: readonly PodId[],
): Promise<readonly PodId[]> {
  if (ids.length === 0) return [];
  const rows = await tx
    .select({ id: pods.id })
    .from(pods)
    .innerJoin(nodes, eq(nodes.id, pods.nodeId))
    .where(and(inArray(pods.id, [...ids]), ne(pods.nodeId, node)));
  return rows.map((it) => it.id);
}

async function withAsked(
  tx: Tx,
  rows: readonly (Omit<NodeView, "asked" | "capacity"> & { readonly reported: Amounts | null })[],
): Promise<readonly NodeView[]> {
  if (rows.length === 0) return [];
  const tenants = await tx
    .select({ node: pods.nodeId, ...askedByText })
    .from(pods)
    .innerJoin(podTexts, eq(podTexts.id, pods.textId))
    .leftJoin(podStatus, eq(podStatus.podId, pods.id))
    .leftJoin(nodeStatus, eq(nodeStatus.nodeId, pods.nodeId))
    .where(
      and(
        inArray(
          pods.nodeId,
          rows.map((it) => it.id),
        ),
        isThere(),
        notOver,
      ),
    );
  const byNode = Map.groupBy(tenants, (it) => it.node);
  return rows.map(({ reported, ...row }) => ({
    ...row,
    capacity: reported && offered(reported, row.most),
    asked: sum((byNode.get(row.id) ?? []).map((it) => demandsIn(it).requests)),
  }));
}

function sum(all: readonly Amounts[]): Amounts {
  return {
    cpuMillis: all.reduce((total, it) => total + it.cpuMillis, 0),
    memoryBytes: all.reduce((total, it) => total + it.memoryBytes, 0),
    pods: all.length,
  };
}

export type PodOnNode = {
  readonly project: string;
  readonly app: string;
  readonly name: string;
  readonly wanted: "run" | "gone";
  readonly status: PodStatus | null;
};

/** The pods that a node should run, and those that it may still have though it should not. */
export async function podsOnNode(tx: Tx, node: NodeId): Promise<readonly PodOnNode[]> {
  return await tx
    .select({
      project: projects.name,
      app: apps.name,
      name: pods.name,
      wanted: pods.wanted,
      status: podStatus.status,
    })
    .from(pods)
    .innerJoin(apps, eq(apps.id, pods.appId))
    .innerJoin(projects, eq(projects.id, apps.projectId))
    .leftJoin(podStatus, eq(podStatus.podId, pods.id))
    .leftJoin(nodeStatus, eq(nodeStatus.nodeId, pods.nodeId))
    .where(and(eq(pods.nodeId, node), isThere()))
    .orderBy(asc(projects.name), asc(apps.name), asc(pods.createdAt), asc(pods.id))
    .limit(5_000);
}

export type Staying = { readonly pod: string; readonly why: string };

/** Why pods that should stand elsewhere are still on this node, as far as the scheduler said so; some of them. */
export async function whyStaying(tx: Tx, node: NodeId): Promise<readonly Staying[]> {
  const rows = await tx.execute<Staying>(sql`
    select ${pods.name} as pod, last.message as why
    from ${pods} left join ${podStatus} on ${podStatus.podId} = ${pods.id},
      lateral (select type, message from events where release_id = ${pods.releaseId}
        and type in ('pod-waiting', 'pod-placed') order by id desc limit 1) as last
    where ${pods.nodeId} = ${node} and ${pods.wanted} = 'run' and last.type = 'pod-waiting'
      and ${notOver}
    order by ${pods.createdAt}, ${pods.id} limit 20`);
  return [...rows];
}

function isThere() {
  return or(eq(pods.wanted, "run"), isNotNull(podStatus.podId), notYetGone);
}
