import { asc, eq, sql } from "drizzle-orm";
import type { NodeId, PodId, ProjectId } from "../../contract/ids.ts";
import { offered } from "../../contract/node/host.ts";
import type { NodeReport } from "../../contract/node/protocol.ts";
import { PROTOCOL } from "../../contract/node/skew.ts";
import type { Demands } from "../../contract/placement/demands.ts";
import type { NodeView, Tenant } from "../../contract/placement/node-view.ts";
import type { WishSize } from "../../contract/placement/wish.ts";
import { notYetGone } from "../apps/placements.ts";
import { askedByText, demandsIn } from "../apps/pod-texts.ts";
import type { Tx } from "../client.ts";
import {
  apps,
  type Materials,
  nodePlans,
  nodeStatus,
  nodes,
  podStatus,
  pods,
  podTexts,
  releases,
} from "../schema/core.ts";
import { holdsNodePort } from "./routes.ts";
import { type Frozen, versionKeys, versionSizes } from "./wish-sizes.ts";

/** All nodes with what stands on them, as whoever looks for a pod's place sees them. */
export type Fleet = {
  /** By name. */
  readonly nodes: readonly NodeView[];
  /** Which wish each node had when this was read. */
  readonly generations: ReadonlyMap<NodeId, number>;
  /** The bytes of each version that is there, of those that the nodes are told and those asked for. */
  readonly versions: ReadonlyMap<string, number>;
};

/**
 * Reads the fleet, without a lock and without a text: what pods ask was stored when they were placed. The
 * generations are read first, so that whoever finds them unchanged later knows that all the rest was true.
 */
export async function readFleet(tx: Tx, asked: readonly Frozen[]): Promise<Fleet> {
  const rows = await allNodes(tx);
  const stand = await podsThatCount(tx);
  const texts = await textsOf(tx, new Set(stand.texts));
  const versions = await versionSizes(tx, [...texts.values(), ...asked]);
  const materials = new Map(
    [...texts].map(([id, text]): [number, Sized] => [
      id,
      versionKeys(text).map((key) => [key, versions.get(key) ?? 0]),
    ]),
  );
  const standings = new Map(rows.map(({ id }): [NodeId, Standing] => [id, nothingYet()]));
  for (const [at, pod] of stand.pods.entries()) {
    const id = stand.texts[at] ?? -1;
    const text = texts.get(id);
    const standing = standings.get(stand.nodes[at] as NodeId);
    if (standing && text) count(standing, pod, stand.roles[at] ?? 0, text, materials.get(id) ?? []);
  }
  return {
    nodes: rows.map((row) => nodeView(row, standings.get(row.id) ?? nothingYet())),
    generations: new Map(rows.map(({ id, generation }) => [id, generation])),
    versions,
  };
}

type NodeRow = Awaited<ReturnType<typeof allNodes>>[number];

/** Whether the node has pods that nobody here knows and that are not over. */
const RUNNING_STRANGERS = sql`jsonb_path_exists(${nodeStatus.strangers},
  '$[*] ? (@.phase != "Succeeded" && @.phase != "Failed")')`;

async function allNodes(tx: Tx) {
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
      protocol: nodeStatus.protocol,
      capacity: sql<NodeReport["capacity"] | null>`${nodeStatus.capacity}`,
      most: nodes.most,
      handlers: nodeStatus.handlers,
      ahead: sql<boolean>`${nodeStatus.ahead} is not null`,
      // Where nobody has planned for the node, no wish ends what it has: nothing waits for that.
      strangers: sql<boolean>`coalesce(${RUNNING_STRANGERS} and ${nodePlans.generation} > 0, false)`,
    })
    .from(nodes)
    .innerJoin(nodePlans, eq(nodePlans.nodeId, nodes.id))
    .leftJoin(nodeStatus, eq(nodeStatus.nodeId, nodes.id))
    .orderBy(asc(nodes.name));
}

/** What a pod's row means for its node. */
const ROLES = { takesRoom: 1, isTold: 2, holdsPort: 4 };

/** Pods by columns, which is how fifty thousand of them are read fastest; `roles` are sums of ROLES. */
type Columns = {
  readonly pods: readonly PodId[];
  readonly nodes: readonly NodeId[];
  readonly texts: readonly number[];
  readonly roles: readonly number[];
};

/** All pods that mean anything for a node. A pod that is over takes no room, and is told on. */
async function podsThatCount(tx: Tx): Promise<Columns> {
  const [columns] = await tx.execute<Columns>(sql`
    select coalesce(json_agg(${pods.id}), '[]') as pods,
           coalesce(json_agg(${pods.nodeId}), '[]') as nodes,
           coalesce(json_agg(${pods.textId}), '[]') as texts,
           coalesce(json_agg(
             case when ${stands} and not ${isOver} then ${ROLES.takesRoom}::int else 0 end
             + case when ${pods.wanted} = 'run' then ${ROLES.isTold}::int else 0 end
             + case when ${holdsNodePort} then ${ROLES.holdsPort}::int else 0 end), '[]') as roles
    from ${pods}
    left join ${podStatus} on ${podStatus.podId} = ${pods.id}
    left join ${nodeStatus} on ${nodeStatus.nodeId} = ${pods.nodeId}
    where ${stands} or ${holdsNodePort}`);
  if (columns === undefined) throw new Error("an aggregate returned no row");
  return columns;
}

/** Wanted there, or not known to have ended. */
const stands = sql`(${pods.wanted} = 'run' or ${podStatus.podId} is not null or ${notYetGone})`;
const isOver = sql`coalesce(${podStatus.status} ->> 'phase', '') in ('Succeeded', 'Failed')`;

type Text = {
  readonly project: ProjectId;
  readonly materials: Materials;
  readonly demands: Demands;
  readonly wireBytes: number;
};

/** The keys of what a text's release froze, each with its bytes. */
type Sized = readonly (readonly [string, number])[];

async function textsOf(tx: Tx, ids: ReadonlySet<number>): Promise<ReadonlyMap<number, Text>> {
  if (ids.size === 0) return new Map();
  const rows = await tx
    .select({
      id: podTexts.id,
      project: apps.projectId,
      materials: releases.materials,
      wireBytes: podTexts.wireBytes,
      ...askedByText,
    })
    .from(podTexts)
    .innerJoin(releases, eq(releases.id, podTexts.releaseId))
    .innerJoin(apps, eq(apps.id, releases.appId))
    .where(sql`${podTexts.id} = any(${sql.param([...ids])}::bigint[])`);
  return new Map(rows.map((row) => [row.id, { ...row, demands: demandsIn(row) }]));
}

/** What was counted of one node's pods so far. */
type Standing = {
  readonly tenants: Tenant[];
  readonly used: { cpuMillis: number; memoryBytes: number; pods: number };
  readonly wish: { pods: number; bytes: number; doors: number; materials: Set<string> };
};

function nothingYet(): Standing {
  return {
    tenants: [],
    used: { cpuMillis: 0, memoryBytes: 0, pods: 0 },
    wish: { pods: 0, bytes: 0, doors: 0, materials: new Set() },
  };
}

function count(
  { tenants, used, wish }: Standing,
  pod: PodId,
  roles: number,
  { demands, wireBytes }: Text,
  materials: Sized,
): void {
  if (roles & ROLES.takesRoom) {
    tenants.push({ pod, demands });
    used.cpuMillis += demands.requests.cpuMillis;
    used.memoryBytes += demands.requests.memoryBytes;
    used.pods += demands.requests.pods;
  }
  if (roles & ROLES.holdsPort) wish.doors += 1;
  if (!(roles & ROLES.isTold)) return;
  wish.pods += 1;
  wish.bytes += wireBytes;
  for (const [key, bytes] of materials) {
    if (!wish.materials.has(key)) wish.bytes += bytes;
    wish.materials.add(key);
  }
}

function nodeView(row: NodeRow, { tenants, used, wish }: Standing): NodeView {
  return {
    id: row.id,
    name: row.name,
    labels: row.labels,
    handlers: row.handlers ?? [],
    cordoned: row.cordoned,
    draining: row.draining,
    fenced: row.fencedAt !== null,
    astray: row.ahead ? "ahead" : row.strangers ? "strangers" : undefined,
    seenAtMs: row.seenAt?.getTime() ?? 0,
    protocol: row.protocol ?? PROTOCOL,
    allocatable: offered(row.capacity ?? { cpuMillis: 0, memoryBytes: 0, pods: 0 }, row.most),
    tenants,
    used,
    wish: wish satisfies WishSize,
  };
}
