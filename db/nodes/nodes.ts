import { and, asc, eq, gt, inArray, isNotNull, or, sql } from "drizzle-orm";
import { type NodeId, NodeId as NodeIdSchema } from "../../contract/ids.ts";
import type { NodeReport, PodStatus } from "../../contract/node/protocol.ts";
import type { Amounts } from "../../contract/pod/requests.ts";
import { askedByText, demandsIn } from "../apps/pod-texts.ts";
import type { Tx } from "../client.ts";
import { apps, nodeStatus, nodes, podStatus, pods, podTexts, projects } from "../schema/core.ts";
import { renewRoutes } from "./routes.ts";

export type NodeView = {
  readonly id: NodeId;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly cordoned: boolean;
  readonly draining: boolean;
  readonly fencedAt: Date | null;
  readonly joinedAt: Date;
  readonly podRange: string | null;
  readonly seenAt: Date | null;
  readonly version: string | null;
  /** Where other nodes reach it. */
  readonly address: string | null;
  /** Where it says that it is reached. */
  readonly toldAddress: string | null;
  readonly capacity: NodeReport["capacity"] | null;
  /** What its pods ask for, wanted there or still seen there. */
  readonly asked: Amounts;
  readonly handlers: readonly string[];
  /** How many pods it should run. */
  readonly pods: number;
};

const VIEW = {
  id: nodes.id,
  name: nodes.name,
  labels: nodes.labels,
  cordoned: nodes.cordoned,
  draining: nodes.draining,
  fencedAt: nodes.fencedAt,
  joinedAt: nodes.joinedAt,
  podRange: nodes.podRange,
  seenAt: nodeStatus.seenAt,
  version: nodeStatus.version,
  address: nodeStatus.address,
  toldAddress: nodeStatus.toldAddress,
  capacity: nodeStatus.capacity,
  handlers: sql<string[]>`coalesce(${nodeStatus.handlers}, '{}')`,
  pods: sql<number>`(select count(*)::int from ${pods} where ${pods.nodeId} = ${nodes.id} and ${pods.wanted} = 'run')`,
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

async function withAsked(
  tx: Tx,
  rows: readonly Omit<NodeView, "asked">[],
): Promise<readonly NodeView[]> {
  if (rows.length === 0) return [];
  const tenants = await tx
    .select({ node: pods.nodeId, ...askedByText })
    .from(pods)
    .innerJoin(podTexts, eq(podTexts.id, pods.textId))
    .leftJoin(podStatus, eq(podStatus.podId, pods.id))
    .where(
      and(
        inArray(
          pods.nodeId,
          rows.map((it) => it.id),
        ),
        isThere(),
        sql`coalesce(${podStatus.status}->>'phase', '') not in ('Succeeded', 'Failed')`,
      ),
    );
  const byNode = Map.groupBy(tenants, (it) => it.node);
  return rows.map((row) => ({
    ...row,
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

/** The pods that a node should run, and those that it still has though it should not. */
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
    .where(and(eq(pods.nodeId, node), isThere()))
    .orderBy(asc(projects.name), asc(apps.name), asc(pods.createdAt), asc(pods.id))
    .limit(5_000);
}

function isThere() {
  return or(eq(pods.wanted, "run"), isNotNull(podStatus.podId));
}

// ---- wishes: called by api alone ---------------------------------------------------------------------

/** The node of this name, held against every other change of it until the transaction ends. */
export async function holdNode(tx: Tx, name: string): Promise<NodeView | undefined> {
  await tx.select({ id: nodes.id }).from(nodes).where(eq(nodes.name, name)).for("no key update");
  return await viewNode(tx, name);
}

/** What people wish of a node: no new pods there, or none at all. */
export async function storeNodeWish(
  tx: Tx,
  node: NodeId,
  wish: { readonly cordoned: boolean; readonly draining: boolean },
): Promise<void> {
  await tx.update(nodes).set(wish).where(eq(nodes.id, node));
}

/** A person says that this host is off: no other node's requests go there. */
export async function fenceNode(tx: Tx, node: NodeId): Promise<void> {
  await tx.update(nodes).set({ fencedAt: sql`now()` }).where(eq(nodes.id, node));
  await renewRoutes(tx);
}

/** Forgets a node that nothing is wanted of; what is left of its pods goes with it. */
export async function forgetNode(tx: Tx, node: NodeId): Promise<void> {
  await tx.delete(pods).where(and(eq(pods.nodeId, node), eq(pods.wanted, "gone")));
  await tx.delete(nodes).where(eq(nodes.id, node));
  await renewRoutes(tx);
}
