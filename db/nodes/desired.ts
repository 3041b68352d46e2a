import { and, asc, eq, gt, sql } from "drizzle-orm";
import { fromBase64 } from "../../contract/base64.ts";
import type { NodeId, PodId } from "../../contract/ids.ts";
import type { DesiredState, HeldWish } from "../../contract/node/protocol.ts";
import { anyOf, idList } from "../any-of.ts";
import { podSpec } from "../apps/pod-texts.ts";
import { asJson } from "../as-json.ts";
import type { Db, Tx } from "../client.ts";
import { announce } from "../outbox.ts";
import { prepared } from "../prepared.ts";
import { apps, nodePlans, pods, podTexts } from "../schema/core.ts";
import { volumesToPurge } from "../volumes/end.ts";
import { byNode } from "./by-node.ts";
import {
  configMapOf,
  imageNames,
  imagesToKeep,
  secretOf,
  type WantedSecret,
  wantedConfigMaps,
  wantedSecrets,
} from "./desired-materials.ts";
import type { Plan } from "./history.ts";
import { NOW_ROUTED, ROUTING_MARK, routeQueries, routesFrom } from "./routes.ts";

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

/** The nodes that one statement reads the wishes of: see `wishes`. */
const THESE = sql`array(select node from these)`;

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
  const [read] = await wishes(db).execute({ ids: idList(ids) });
  if (read === undefined) throw new Error("a statement without a table returned no row");
  const pods = byNode(read.pods, (it) => it.pod);
  const routes = routesFrom(read, appsDomain);
  const configMaps = byNode(read.configMaps, configMapOf);
  const images = byNode(read.images, (it) => it);
  const purges = byNode(read.purges, ({ project, name }) => ({ project, name }));
  const secrets = byNode(read.secrets, secretOf);
  return read.these.map((head): NodeWish | undefined => {
    const { node, generation, marks, keepPods, routing, routingMark, publicKey } = head;
    if (generation === null) return undefined;
    return {
      desired: {
        node,
        generation,
        ...(marks[0] !== undefined && { mark: marks[0] }),
        pods: pods.get(node) ?? [],
        routing,
        ...(routingMark && { routingMark }),
        ...routes(node),
        configMaps: configMaps.get(node) ?? [],
        keepImages: imageNames(images.get(node) ?? []),
        purgeVolumes: purges.get(node) ?? [],
        ...(keepPods && { keepPods }),
      },
      secrets: secrets.get(node) ?? [],
      publicKey: publicKey === null ? null : fromBase64(publicKey),
      plan: { generation, marks },
    };
  });
}

/** One statement, and so of one moment, in one turn of the wire: thousands wait for it together. */
const wishes = prepared((db: Db) => {
  const asked = db.$with("these").as(these(db));
  const { ingressKeys, reached, here, elsewhere } = routeQueries(db, THESE);
  return db
    .with(asked)
    .select({
      these: asJson(db.select().from(asked).orderBy(asked.at)),
      pods: asJson(wantedPods(db)),
      ingressKeys: asJson(ingressKeys),
      reached: asJson(reached),
      here: asJson(here),
      elsewhere: asJson(elsewhere),
      configMaps: asJson(wantedConfigMaps(db, THESE)),
      images: asJson(imagesToKeep(db, THESE)),
      purges: asJson(volumesToPurge(db, THESE)),
      secrets: asJson(wantedSecrets(db, THESE)),
    })
    .from(sql`(values (true)) as once`)
    .prepare("wishes");
});

/** Null but for a node that is being taken in: see adopt.ts. */
const KEPT_PODS = sql<PodId[] | null>`case when adopted_at is not null then (
  select coalesce(json_agg(it ->> 'pod'), '[]')
  from node_status, jsonb_array_elements(strangers) as it
  where node_status.node_id = node) end`;

/** The first of the nodes that are asked for, and as many as may be read together with it. */
function these(db: Db) {
  const bytes = sql`(select sum(wire_bytes) from pods join pod_texts on pod_texts.id = text_id
    where pods.node_id = asked.node and wanted = 'run')`;
  const measured = sql`(
    select asked.node, at, plan.generation, plan.marks, plan.adopted_at, public_key,
      sum(coalesce(${bytes}, 0)) over (order by at) as bytes
    from unnest(${sql.placeholder("ids")}::uuid[]) with ordinality as asked (node, at)
    left join node_plans as plan on plan.node_id = asked.node
    left join nodes on nodes.id = plan.node_id) as measured`;
  return db
    .select({
      node: sql<NodeId>`node`.as("node"),
      at: sql<number>`at`.as("at"),
      generation: sql<number | null>`generation`.as("generation"),
      marks: sql<string[]>`coalesce(marks, '{}')`.as("marks"),
      keepPods: KEPT_PODS.as("keep_pods"),
      routing: NOW_ROUTED.as("routing"),
      routingMark: ROUTING_MARK.as("routing_mark"),
      publicKey: sql<string | null>`encode(public_key, 'base64')`.as("public_key"),
    })
    .from(measured)
    .where(sql`at = 1 or bytes <= ${MAX_READ_BYTES}`);
}

function wantedPods(db: Db) {
  return db
    .select({ node: sql<NodeId>`${pods.nodeId}`, pod: podSpec })
    .from(pods)
    .innerJoin(podTexts, eq(podTexts.id, pods.textId))
    .innerJoin(apps, eq(apps.id, pods.appId))
    .where(and(anyOf(pods.nodeId, THESE), eq(pods.wanted, "run")))
    .orderBy(asc(apps.name), asc(pods.createdAt), asc(pods.id));
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
