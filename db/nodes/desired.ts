import { and, asc, eq, gt, sql } from "drizzle-orm";
import type { NodeId, PodId } from "../../contract/ids.ts";
import type { DesiredState, HeldWish } from "../../contract/node/protocol.ts";
import { anyOf } from "../any-of.ts";
import { podSpec } from "../apps/pod-texts.ts";
import type { Db, Tx } from "../client.ts";
import { announce } from "../outbox.ts";
import { apps, nodePlans, nodes, pods, podTexts } from "../schema/core.ts";
import { volumesToPurge } from "../volumes/end.ts";
import { byNode } from "./by-node.ts";
import {
  imagesToKeep,
  type WantedSecret,
  wantedConfigMaps,
  wantedSecrets,
} from "./desired-materials.ts";
import type { Plan } from "./history.ts";
import { NOW_ROUTED, readRoutes } from "./routes.ts";

/** The generation of what this node should run; undefined when nobody has planned for it yet. */
export async function wishGeneration(tx: Tx, node: NodeId): Promise<number | undefined> {
  const [row] = await tx
    .select({ generation: nodePlans.generation })
    .from(nodePlans)
    .where(eq(nodePlans.nodeId, node));
  return row?.generation;
}

/** Which wish a node has to have: see `wishTag`. */
export type WishVersion = HeldWish;

/** Null of a generation from before there were marks. */
const NEWEST_MARK = sql<string | null>`${nodePlans.marks}[1]`;

/** Of each of these nodes, as above. */
export async function wishVersions(
  tx: Tx,
  ids: readonly NodeId[],
): Promise<ReadonlyMap<NodeId, WishVersion>> {
  const rows = await tx
    .select({
      node: nodePlans.nodeId,
      generation: nodePlans.generation,
      mark: NEWEST_MARK,
      routing: NOW_ROUTED,
    })
    .from(nodePlans)
    .where(anyOf(nodePlans.nodeId, ids))
    .prepare("wish_versions")
    .execute();
  return new Map(
    rows.map(({ node, mark, ...version }) => [node, { ...version, ...(mark && { mark }) }]),
  );
}

/** Null but for a node that is being taken in: see adopt.ts. */
const KEPT_PODS = sql<PodId[] | null>`case when ${nodePlans.adoptedAt} is not null then (
  select coalesce(json_agg(it ->> 'pod'), '[]')
  from node_status, jsonb_array_elements(strangers) as it
  where node_status.node_id = ${nodePlans.nodeId}) end`;

/** All that a node is told, but for its secrets, which are yet to be sealed for it. */
export type NodeWish = {
  readonly desired: Omit<DesiredState, "secrets">;
  readonly secrets: readonly WantedSecret[];
  /** Null: the node has not told a key, and gets no secrets. */
  readonly publicKey: Uint8Array | null;
  /** Whom this may be told: see history.ts. */
  readonly plan: Plan;
};

/** So many bytes of pods are read at once, though there be many nodes: what is read waits in memory to be sent. */
const MAX_READ_BYTES = 16 * 1024 * 1024;

/**
 * All that each of these nodes should run, generation and pods of one moment; of the first ones only,
 * where that is much. Undefined, and never an empty wish, when there is no plan for a node: an agent
 * would take an empty one as an order to stop all.
 */
export async function readDesired(
  db: Db,
  ids: readonly NodeId[],
  appsDomain: string,
): Promise<readonly (NodeWish | undefined)[]> {
  return await db.transaction(
    async (tx) => {
      const heads = await readHeads(tx, ids);
      const some = firstOf(ids, heads);
      const [pods, routes, configMaps, keepImages, purgeVolumes, secrets] = await Promise.all([
        wantedPods(tx, some),
        readRoutes(tx, some, appsDomain),
        wantedConfigMaps(tx, some),
        imagesToKeep(tx, some),
        volumesToPurge(tx, some),
        wantedSecrets(tx, some),
      ]);
      return some.map((node): NodeWish | undefined => {
        const head = heads.get(node);
        if (head === undefined) return undefined;
        const { generation, marks, keepPods, routing, publicKey } = head;
        return {
          desired: {
            node,
            generation,
            ...(marks[0] !== undefined && { mark: marks[0] }),
            pods: pods.get(node) ?? [],
            routing,
            ...routes(node),
            configMaps: configMaps.get(node) ?? [],
            keepImages: keepImages.get(node) ?? [],
            purgeVolumes: purgeVolumes.get(node) ?? [],
            ...(keepPods && { keepPods }),
          },
          secrets: secrets.get(node) ?? [],
          publicKey,
          plan: { generation, marks },
        };
      });
    },
    { isolationLevel: "repeatable read", accessMode: "read only" },
  );
}

type Head = Plan &
  Pick<WishVersion, "routing"> & {
    readonly publicKey: Uint8Array | null;
    readonly keepPods: PodId[] | null;
    readonly bytes: number;
  };

async function readHeads(tx: Tx, ids: readonly NodeId[]): Promise<ReadonlyMap<NodeId, Head>> {
  const rows = await tx
    .select({
      node: nodePlans.nodeId,
      generation: nodePlans.generation,
      marks: nodePlans.marks,
      keepPods: KEPT_PODS,
      routing: NOW_ROUTED,
      publicKey: nodes.publicKey,
      bytes: sql<number>`(select coalesce(sum(wire_bytes), 0)::float8
        from pods join pod_texts on pod_texts.id = text_id
        where pods.node_id = ${nodePlans.nodeId} and wanted = 'run')`,
    })
    .from(nodePlans)
    .innerJoin(nodes, eq(nodes.id, nodePlans.nodeId))
    .where(anyOf(nodePlans.nodeId, ids))
    .prepare("wish_heads")
    .execute();
  return new Map(rows.map(({ node, ...head }) => [node, head]));
}

/** The first one, and as many as may be read together with it. */
function firstOf(ids: readonly NodeId[], heads: ReadonlyMap<NodeId, Head>): readonly NodeId[] {
  let bytes = 0;
  const end = ids.findIndex((node, at) => {
    bytes += heads.get(node)?.bytes ?? 0;
    return at > 0 && bytes > MAX_READ_BYTES;
  });
  return end < 0 ? ids : ids.slice(0, end);
}

// ---- called by api alone: what goes with a node's pods has changed ------------------------------------

/**
 * +1, so that the node asks again; a plan that is being made meanwhile is made anew. Generation 0 stays:
 * it says that nobody has planned for the node yet, and that its empty wish is no order.
 */
export async function renewWish(tx: Tx, node: NodeId): Promise<void> {
  await tx
    .update(nodePlans)
    .set({ generation: sql`${nodePlans.generation} + 1` })
    .where(and(eq(nodePlans.nodeId, node), gt(nodePlans.generation, 0)));
  await announce(tx, `node:${node}`);
}

async function wantedPods(
  tx: Tx,
  ids: readonly NodeId[],
): Promise<ReadonlyMap<NodeId, DesiredState["pods"]>> {
  const rows = await tx
    .select({ node: pods.nodeId, pod: podSpec })
    .from(pods)
    .innerJoin(podTexts, eq(podTexts.id, pods.textId))
    .innerJoin(apps, eq(apps.id, pods.appId))
    .where(and(anyOf(pods.nodeId, ids), eq(pods.wanted, "run")))
    .orderBy(asc(apps.name), asc(pods.createdAt), asc(pods.id))
    .prepare("wanted_pods")
    .execute();
  return byNode(rows, ({ pod }) => pod);
}
