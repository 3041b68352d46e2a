import { and, eq, sql } from "drizzle-orm";
import type { NodeId } from "../../contract/ids.ts";
import type { Tx } from "../client.ts";
import { nodePlans, nodeStatus, nodes, pods } from "../schema/core.ts";
import { type NodeView, viewNode } from "./nodes.ts";
import { renewRoutes } from "./routes.ts";

/* What people wish of a node: called by api alone. */

/** The node of this name, held against every other change of it until the transaction ends. */
export async function holdNode(tx: Tx, name: string): Promise<NodeView | undefined> {
  await holdSight(tx, name);
  await tx.select({ id: nodes.id }).from(nodes).where(eq(nodes.name, name)).for("no key update");
  return await viewNode(tx, name);
}

/**
 * The same, and nothing is placed there meanwhile either: whoever plans for the node has done so before,
 * and is seen, or finds its generation gone.
 */
export async function holdNodeAlone(tx: Tx, name: string): Promise<NodeView | undefined> {
  const which = eq(nodes.name, name);
  await holdSight(tx, name);
  const [node] = await tx.select({ id: nodes.id }).from(nodes).where(which).for("update");
  if (node === undefined) return undefined;
  const plan = eq(nodePlans.nodeId, node.id);
  await tx.select({ node: nodePlans.nodeId }).from(nodePlans).where(plan).for("update");
  return await viewNode(tx, name);
}

/** First of all, as its reports do: each of those may then ask PostgreSQL whether the node is there. */
async function holdSight(tx: Tx, name: string): Promise<void> {
  await tx
    .select({ node: nodeStatus.nodeId })
    .from(nodeStatus)
    .innerJoin(nodes, eq(nodes.id, nodeStatus.nodeId))
    .where(eq(nodes.name, name))
    .for("update", { of: nodeStatus });
}

/** What people wish of a node: no new pods there, or none at all; and since when they say that it is off. */
export async function storeNodeWish(
  tx: Tx,
  node: NodeId,
  wish: Pick<NodeView, "cordoned" | "draining" | "fencedAt">,
): Promise<void> {
  await tx.update(nodes).set(wish).where(eq(nodes.id, node));
}

/**
 * A person says that this host is off: no other node's requests go there, and another host may be reached
 * where it was. Its own is heard again when it joins, and tells its address anew.
 */
export async function fenceNode(tx: Tx, node: NodeId): Promise<void> {
  await tx.update(nodes).set({ fencedAt: sql`now()` }).where(eq(nodes.id, node));
  const nowhere = { address: null, toldAddress: null, lastReport: null };
  await tx.update(nodeStatus).set(nowhere).where(eq(nodeStatus.nodeId, node));
  await renewRoutes(tx);
}

/** Forgets a node; its pods that are gone go with it, and those that ran to their end stay what they are. */
export async function forgetNode(tx: Tx, node: NodeId): Promise<void> {
  await tx.delete(pods).where(and(eq(pods.nodeId, node), eq(pods.wanted, "gone")));
  await tx.delete(nodes).where(eq(nodes.id, node));
  await renewRoutes(tx);
}
