import { and, asc, eq, gt, sql } from "drizzle-orm";
import type { NodeId } from "../../contract/ids.ts";
import type { DesiredState } from "../../contract/node/protocol.ts";
import { podSpec } from "../apps/pod-texts.ts";
import type { Db, Tx } from "../client.ts";
import { announce } from "../outbox.ts";
import { apps, nodePlans, pods, podTexts } from "../schema/core.ts";
import { volumesToPurge } from "../volumes/end.ts";
import {
  imagesToKeep,
  nodeKey,
  type WantedSecret,
  wantedConfigMaps,
  wantedSecrets,
} from "./desired-materials.ts";
import { readRoutes, routingGeneration } from "./routes.ts";

/** The generation of what this node should run; undefined when nobody has planned for it yet. */
export async function wishGeneration(tx: Tx, node: NodeId): Promise<number | undefined> {
  const [row] = await tx
    .select({ generation: nodePlans.generation })
    .from(nodePlans)
    .where(eq(nodePlans.nodeId, node));
  return row?.generation;
}

/** Which wish the node has to have: see `wishTag`. Undefined as above. */
export async function wishVersion(
  tx: Tx,
  node: NodeId,
): Promise<Pick<DesiredState, "generation" | "routing"> | undefined> {
  const generation = await wishGeneration(tx, node);
  return generation === undefined
    ? undefined
    : { generation, routing: await routingGeneration(tx) };
}

/** All that a node is told, but for its secrets, which are yet to be sealed for it. */
export type NodeWish = {
  readonly desired: Omit<DesiredState, "secrets">;
  readonly secrets: readonly WantedSecret[];
  /** Null: the node has not told a key, and gets no secrets. */
  readonly publicKey: Uint8Array | null;
};

/**
 * All that one node should run, generation and pods of one moment. Undefined, and never an empty
 * wish, when there is no plan for it: an agent would take an empty one as an order to stop all.
 */
export async function readDesired(
  db: Db,
  node: NodeId,
  appsDomain: string,
): Promise<NodeWish | undefined> {
  return await db.transaction(
    async (tx) => {
      const generation = await wishGeneration(tx, node);
      if (generation === undefined) return undefined;
      return {
        desired: {
          node,
          generation,
          pods: await wantedPods(tx, node),
          routing: await routingGeneration(tx),
          ...(await readRoutes(tx, node, appsDomain)),
          configMaps: await wantedConfigMaps(tx, node),
          keepImages: await imagesToKeep(tx, node),
          purgeVolumes: await volumesToPurge(tx, node),
        },
        secrets: await wantedSecrets(tx, node),
        publicKey: await nodeKey(tx, node),
      };
    },
    { isolationLevel: "repeatable read", accessMode: "read only" },
  );
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

async function wantedPods(tx: Tx, node: NodeId): Promise<DesiredState["pods"]> {
  const rows = await tx
    .select({ pod: podSpec })
    .from(pods)
    .innerJoin(podTexts, eq(podTexts.id, pods.textId))
    .innerJoin(apps, eq(apps.id, pods.appId))
    .where(and(eq(pods.nodeId, node), eq(pods.wanted, "run")))
    .orderBy(asc(apps.name), asc(pods.createdAt), asc(pods.id));
  return rows.map(({ pod }) => pod);
}
