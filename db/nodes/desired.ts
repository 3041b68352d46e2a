import { and, asc, eq, gt, sql } from "drizzle-orm";
import type { AppId, NodeId } from "../../contract/ids.ts";
import type { DesiredState, Route } from "../../contract/node/protocol.ts";
import type { Db, Tx } from "../client.ts";
import { announce } from "../outbox.ts";
import { apps, nodePlans, podStatus, pods, releases } from "../schema/core.ts";
import { volumesToPurge } from "../volumes/end.ts";
import {
  imagesToKeep,
  nodeKey,
  type WantedSecret,
  wantedConfigMaps,
  wantedSecrets,
} from "./desired-materials.ts";

/** The generation of what this node should run; undefined when nobody has planned for it yet. */
export async function wishGeneration(tx: Tx, node: NodeId): Promise<number | undefined> {
  const [row] = await tx
    .select({ generation: nodePlans.generation })
    .from(nodePlans)
    .where(eq(nodePlans.nodeId, node));
  return row?.generation;
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
      const wanted = await wantedPods(tx, node);
      return {
        desired: {
          node,
          generation,
          pods: wanted.map((row) => row.pod),
          routes: routesOf(wanted, appsDomain),
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

type Wanted = {
  readonly pod: DesiredState["pods"][number];
  readonly app: AppId;
  readonly name: string;
  /** No request goes there: the app was removed, or the pod has run to its end. */
  readonly closed: boolean;
  readonly port: number | null;
};

async function wantedPods(tx: Tx, node: NodeId): Promise<readonly Wanted[]> {
  return await tx
    .select({
      pod: pods.spec,
      app: apps.id,
      name: apps.name,
      closed: sql<boolean>`${apps.deletedAt} is not null
        or coalesce(${podStatus.status} ->> 'phase' in ('Succeeded', 'Failed'), false)`,
      port: releases.httpPort,
    })
    .from(pods)
    .innerJoin(apps, eq(apps.id, pods.appId))
    .innerJoin(releases, eq(releases.id, pods.releaseId))
    .leftJoin(podStatus, eq(podStatus.podId, pods.id))
    .where(and(eq(pods.nodeId, node), eq(pods.wanted, "run")))
    .orderBy(asc(apps.name), asc(pods.createdAt), asc(pods.id));
}

/**
 * One route an app, to all of its pods here. A pod on another port than its siblings gets a route of
 * its own, and a deleted app none: its name may be another app's by now.
 */
function routesOf(wanted: readonly Wanted[], appsDomain: string): Route[] {
  const open = wanted.flatMap((it) =>
    it.closed || it.port === null ? [] : [{ ...it, port: it.port }],
  );
  const groups = Map.groupBy(open, ({ app, port }) => `${app}:${port}`);
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (!first) return [];
    const pods = group.map(({ pod }) => pod.metadata.uid);
    return [{ app: first.name, hosts: [`${first.name}.${appsDomain}`], port: first.port, pods }];
  });
}
