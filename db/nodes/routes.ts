import { and, asc, eq, isNotNull, isNull, lte, or, type SQL, sql } from "drizzle-orm";
import type { AppId, NodeId, PodId } from "../../contract/ids.ts";
import type { DesiredState, RemotePod, Route } from "../../contract/node/protocol.ts";
import { anyOf } from "../any-of.ts";
import type { Db, Tx } from "../client.ts";
import { announce } from "../outbox.ts";
import { routing } from "../schema/control.ts";
import { apps, nodeStatus, nodes, podStatus, pods, releases } from "../schema/core.ts";
import { byNode } from "./by-node.ts";

/*
 * Which requests a node is told to pass on, and where to. A pod of another node is reached at that
 * node's address and a port that is the pod's there for its life. A node alone opens no such port.
 */

/**
 * A gone pod's port still leads to its app: an ingress that was not told yet may send there. That is so
 * for two minutes, and for up to an hour while an agent was not heard of since then: its ingress serves
 * on with the routes that it knows.
 */
const leadsOn = sql`(
  ${pods.goneAt} > now() - interval '2 minutes'
  or ${pods.goneAt} > now() - interval '1 hour'
    and ${pods.goneAt} + interval '2 minutes' > (
      select min(seen_at) from node_status join nodes as peers on peers.id = node_id
      where address is not null and fenced_at is null))`;
/** Nor is it another pod's meanwhile. */
const RESTS = sql`interval '10 minutes'`;

export type Routes = Readonly<Pick<DesiredState, "routes" | "peers" | "ingressKey">>;

/** What of the database the routes of `nodes` are made of; `routesFrom` makes them. */
export function routeQueries(db: Db, nodes: SQL) {
  return {
    ingressKeys: db.select({ key: routing.ingressKey }).from(routing),
    reached: reachedNodes(db),
    here: podsHere(db, nodes),
    elsewhere: podsElsewhere(db, nodes),
  };
}

type RouteRows = {
  readonly [Query in keyof ReturnType<typeof routeQueries>]: Awaited<
    ReturnType<typeof routeQueries>[Query]
  >;
};

/**
 * The routes of each of these nodes. What runs on other nodes is in there only for a node that the
 * others know an address of.
 */
export function routesFrom(rows: RouteRows, appsDomain: string): (node: NodeId) => Routes {
  const reached = new Map(rows.reached.map(({ node, ...it }) => [node, it]));
  const pods = byNode(rows.here, (row) => row);
  const [only] = rows.ingressKeys;
  return (node) => {
    const peers = peersOf(node, reached);
    const among = reached.size > 1 ? reached.get(node) : undefined;
    // An ingress asks at the doors of its own pods, too, where others' lead to an app as well.
    const hasDoors = peers.length > 0 || among?.isIngress === true;
    const here = (pods.get(node) ?? []).filter((it) => hasDoors || it.wanted === "run");
    const elsewhere = among?.isIngress ? rows.elsewhere.filter((it) => it.node !== node) : [];
    return {
      routes: routesOf(here, elsewhere, appsDomain, hasDoors),
      peers,
      ...(among && only && { ingressKey: only.key }),
    };
  };
}

/** How often the routes of all nodes changed for what is not their own. */
export const NOW_ROUTED = sql<number>`coalesce((select generation from ${routing}), 0)::float8`;
/** The mark of that number; null where they never changed. */
export const ROUTING_MARK = sql<string | null>`(select mark from ${routing})`;

/**
 * Pods of these apps came, went or became ready: every node's routes are to be read again. Not where no
 * request goes to them, and not where there is no second node. Call it last: one transaction at a time
 * holds the row.
 */
export async function renewRoutesTo(tx: Tx, ...ids: readonly AppId[]): Promise<void> {
  const [found] = await tx.execute<{ it: boolean }>(sql`
    select exists (select from ${pods} where ${pods.appId} = any(${sql.param(ids)}::uuid[]) and ${pods.nodePort} is not null)
       and (select count(*) from ${nodeStatus} where ${nodeStatus.address} is not null) > 1 as it`);
  if (found?.it) await renewRoutes(tx);
}

/** All nodes are to read their routes again. */
export async function renewRoutes(tx: Tx): Promise<void> {
  await tx
    .insert(routing)
    .values({ generation: 1 })
    .onConflictDoUpdate({
      target: routing.id,
      set: { generation: sql`${routing.generation} + 1` },
    });
  await announce(tx, "node:*");
}

/**
 * A node has routes of this number from a life of the database that a restore undid: ours are numbered above
 * it from here on, or it would take none that count as far. Nothing where that is so already.
 */
export async function raiseRoutes(db: Db, told: number): Promise<void> {
  const generation = told + 1;
  await db.transaction(async (tx) => {
    const raised = await tx
      .insert(routing)
      .values({ generation })
      .onConflictDoUpdate({
        target: routing.id,
        set: { generation },
        setWhere: lte(routing.generation, told),
      })
      .returning({ id: routing.id });
    if (raised.length > 0) await announce(tx, "node:*");
  });
}

/** It has its node's port, or had it lately. */
export const holdsNodePort = sql`(${pods.nodePort} is not null and (${pods.wanted} = 'run'
  or ${podStatus.podId} is not null or ${pods.goneAt} > now() - ${RESTS} or ${leadsOn}))`;

/**
 * The ports of these nodes that pods have or had lately; no entry for a node without any. Two plans that
 * choose the same at once choose for the same generation of the node, and one is made anew.
 */
export async function takenNodePorts(
  tx: Tx,
  ids: readonly NodeId[],
): Promise<ReadonlyMap<NodeId, ReadonlySet<number>>> {
  if (ids.length === 0) return new Map();
  const rows = await tx.execute<{ node: NodeId; ports: number[] }>(sql`
    select ${pods.nodeId} as node, json_agg(${pods.nodePort}) as ports
    from ${pods} left join ${podStatus} on ${podStatus.podId} = ${pods.id}
    where ${pods.nodeId} = any(${sql.param(ids)}::uuid[]) and ${holdsNodePort}
    group by ${pods.nodeId}`);
  return new Map(rows.map(({ node, ports }) => [node, new Set(ports)]));
}

type Routed = {
  readonly node: NodeId;
  readonly pod: PodId;
  readonly app: AppId;
  readonly name: string;
  /** When the app was made. */
  readonly since: string;
  readonly port: number;
  readonly nodePort: number | null;
  /** As its node said last. */
  readonly ready: boolean;
};
type Here = Routed & { readonly wanted: "run" | "gone" };

type Elsewhere = Routed & { readonly address: string };

const routed = {
  node: sql<NodeId>`${pods.nodeId}`,
  pod: pods.id,
  app: apps.id,
  name: apps.name,
  since: sql<string>`${apps.createdAt}::text`,
  port: sql<number>`${releases.httpPort}`,
  nodePort: pods.nodePort,
  ready: sql<boolean>`coalesce((${podStatus.status} ->> 'ready')::boolean, false)`,
};

/** The app was not removed, the release takes requests, and the pod has not run to its end. */
const takesRequests = and(
  isNull(apps.deletedAt),
  isNotNull(releases.httpPort),
  sql`coalesce(${podStatus.status} ->> 'phase', '') not in ('Succeeded', 'Failed')`,
);

function podsHere(db: Db, nodes: SQL) {
  return db
    .select({ ...routed, wanted: pods.wanted })
    .from(pods)
    .innerJoin(apps, eq(apps.id, pods.appId))
    .innerJoin(releases, eq(releases.id, pods.releaseId))
    .leftJoin(podStatus, eq(podStatus.podId, pods.id))
    .where(and(anyOf(pods.nodeId, nodes), takesRequests, or(eq(pods.wanted, "run"), leadsOn)))
    .orderBy(asc(apps.name), asc(pods.createdAt), asc(pods.id));
}

/** All that other nodes than their own may be told; none where none of these nodes is told of it. */
function podsElsewhere(db: Db, asked: SQL) {
  const anySends = sql`exists (
    select from node_status join nodes as asked on asked.id = node_id
    where ${anyOf(sql`node_id`, asked)} and address is not null and asked.labels ->> 'waybill/ingress' is distinct from 'false')`;
  return db
    .select({ ...routed, address: sql<string>`${nodeStatus.address}` })
    .from(pods)
    .innerJoin(apps, eq(apps.id, pods.appId))
    .innerJoin(releases, eq(releases.id, pods.releaseId))
    .innerJoin(nodeStatus, eq(nodeStatus.nodeId, pods.nodeId))
    .innerJoin(nodes, eq(nodes.id, pods.nodeId))
    .leftJoin(podStatus, eq(podStatus.podId, pods.id))
    .where(
      and(
        anySends,
        eq(pods.wanted, "run"),
        isNotNull(nodeStatus.address),
        isNull(nodes.fencedAt),
        isNotNull(pods.nodePort),
        takesRequests,
      ),
    )
    .orderBy(asc(apps.name), asc(pods.createdAt), asc(pods.id));
}

/**
 * Of other nodes' pods those that are ready, and all of them where none anywhere is. A door knows better
 * than this whether its pod is ready, but Caddy holds every door that it is just told of for open
 * until it has asked there; so those of pods that are only starting had better not be among them.
 */
function worthAsking(own: readonly Here[], away: readonly Elsewhere[]): readonly Elsewhere[] {
  const isServed = [...own, ...away].some((it) => it.ready);
  return isServed ? away.filter((it) => it.ready) : away;
}

type Reached = {
  readonly address: string;
  /** It passes requests on to other nodes' pods: in a large fleet not every node has to know every pod. */
  readonly isIngress: boolean;
};

function reachedNodes(db: Db) {
  return db
    .select({
      node: nodeStatus.nodeId,
      address: sql<string>`${nodeStatus.address}`,
      isIngress: sql<boolean>`${nodes.labels} ->> 'waybill/ingress' is distinct from 'false'`,
    })
    .from(nodeStatus)
    .innerJoin(nodes, eq(nodes.id, nodeStatus.nodeId))
    .where(and(isNotNull(nodeStatus.address), isNull(nodes.fencedAt)))
    .orderBy(asc(nodeStatus.address));
}

/** Whose requests come in at a node's doors. None for one without an address: nobody knows the way there. */
function peersOf(node: NodeId, reached: ReadonlyMap<NodeId, Reached>): string[] {
  if (!reached.has(node)) return [];
  return [...reached].flatMap(([other, { address, isIngress }]) =>
    other !== node && isIngress ? [address] : [],
  );
}

/**
 * One route an app, to all of its pods. A pod of this node on another port than its siblings gets a
 * route of its own; those of other nodes have their own ports, and stand in the app's first route. Of
 * two projects' apps with one name the older one has it, on every node.
 */
function routesOf(
  here: readonly Here[],
  elsewhere: readonly Elsewhere[],
  appsDomain: string,
  withNodePorts: boolean,
): Route[] {
  const oldestFirst = [...here, ...elsewhere].toSorted((a, b) => a.since.localeCompare(b.since));
  const owners = new Map(oldestFirst.toReversed().map((it) => [it.name, it.app]));
  const names = [...owners.keys()].toSorted();
  return names.flatMap((name) => {
    const app = owners.get(name);
    const own = here.filter((it) => it.app === app);
    const away = elsewhere.filter((it) => it.app === app);
    const ports = [
      ...new Set([...own, ...(own.length > 0 ? [] : away.slice(0, 1))].map((it) => it.port)),
    ];
    return ports.map((port, index) => {
      const group = own.filter((it) => it.port === port);
      return {
        app: name,
        hosts: [`${name}.${appsDomain}`],
        port,
        pods: group.filter((it) => it.wanted === "run").map(({ pod }) => pod),
        nodePorts: withNodePorts ? nodePortsOf(group) : {},
        remote: index === 0 ? worthAsking(own, away).flatMap(remotePod) : [],
      };
    });
  });
}

function nodePortsOf(group: readonly Here[]): Route["nodePorts"] {
  return Object.fromEntries(
    group.flatMap(({ pod, nodePort }) => (nodePort === null ? [] : [[pod, nodePort]])),
  );
}

function remotePod({ pod, address, nodePort }: Elsewhere): RemotePod[] {
  return nodePort === null ? [] : [{ pod, address, port: nodePort }];
}
