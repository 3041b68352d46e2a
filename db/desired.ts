import { and, asc, eq, sql } from "drizzle-orm";
import type { AppId, NodeId } from "../contract/ids.ts";
import type { DesiredState, Route } from "../contract/node-protocol.ts";
import type { Db, Tx } from "./client.ts";
import { apps, nodePlans, pods, releases } from "./schema.ts";

/** The generation of what this node should run; undefined when nobody has planned for it yet. */
export async function wishGeneration(tx: Tx, node: NodeId): Promise<number | undefined> {
  const [row] = await tx
    .select({ generation: nodePlans.generation })
    .from(nodePlans)
    .where(eq(nodePlans.nodeId, node));
  return row?.generation;
}

/**
 * All that one node should run, generation and pods of one moment. Undefined, and never an empty
 * wish, when there is no plan for it: an agent would take an empty one as an order to stop all.
 */
export async function readDesired(
  db: Db,
  node: NodeId,
  appsDomain: string,
): Promise<DesiredState | undefined> {
  return await db.transaction(
    async (tx) => {
      const generation = await wishGeneration(tx, node);
      if (generation === undefined) return undefined;
      const rows = await tx
        .select({
          pod: pods.spec,
          app: apps.id,
          name: apps.name,
          deleted: sql<boolean>`${apps.deletedAt} is not null`,
          port: sql<number>`${releases.spec}->'http'->'port'`,
        })
        .from(pods)
        .innerJoin(apps, eq(apps.id, pods.appId))
        .innerJoin(releases, eq(releases.id, pods.releaseId))
        .where(and(eq(pods.nodeId, node), eq(pods.wanted, "run")))
        .orderBy(asc(apps.name), asc(pods.createdAt), asc(pods.id));
      return {
        node,
        generation,
        pods: rows.map((row) => row.pod),
        routes: routesOf(rows, appsDomain),
      };
    },
    { isolationLevel: "repeatable read", accessMode: "read only" },
  );
}

type Wanted = {
  readonly pod: DesiredState["pods"][number];
  readonly app: AppId;
  readonly name: string;
  readonly deleted: boolean;
  readonly port: number;
};

/**
 * One route an app, to all of its pods here. A pod on another port than its siblings gets a route of
 * its own, and a deleted app none: its name may be another app's by now.
 */
function routesOf(wanted: readonly Wanted[], appsDomain: string): Route[] {
  const kept = wanted.filter(({ deleted }) => !deleted);
  const groups = Map.groupBy(kept, ({ app, port }) => `${app}:${port}`);
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (!first) return [];
    const pods = group.map(({ pod }) => pod.metadata.uid);
    return [{ app: first.name, hosts: [`${first.name}.${appsDomain}`], port: first.port, pods }];
  });
}

/** The images, `repository@digest`, that this node's pods are made of. */
export async function imagesOfNode(tx: Tx, node: NodeId): Promise<ReadonlySet<string>> {
  const rows = await tx.execute<{ image: string }>(sql`
    select distinct container->>'image' as image
    from ${pods}, jsonb_array_elements(${pods.spec}->'spec'->'containers') as container
    where ${pods.nodeId} = ${node} and ${pods.wanted} = 'run'`);
  return new Set(rows.map((row) => row.image));
}
