import { and, asc, eq, sql } from "drizzle-orm";
import { type NodeId, NodeId as NodeIdSchema } from "../../contract/ids.ts";
import type { NodeReport } from "../../contract/node/protocol.ts";
import type { Tx } from "../client.ts";
import { nodePlans, nodeStatus, nodes, pods } from "../schema/core.ts";

export type NodeView = {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly cordoned: boolean;
  readonly joinedAt: Date;
  readonly seenAt: Date | null;
  readonly version: string | null;
  readonly capacity: NodeReport["capacity"] | null;
  readonly handlers: readonly string[];
  /** How many pods it should run. */
  readonly pods: number;
};

/** Every host, by name. */
export async function listNodes(tx: Tx): Promise<readonly NodeView[]> {
  return await tx
    .select({
      name: nodes.name,
      labels: nodes.labels,
      cordoned: nodes.cordoned,
      joinedAt: nodes.joinedAt,
      seenAt: nodeStatus.seenAt,
      version: nodeStatus.version,
      capacity: nodeStatus.capacity,
      handlers: sql<string[]>`coalesce(${nodeStatus.handlers}, '{}')`,
      pods: sql<number>`(select count(*)::int from ${pods} where ${pods.nodeId} = ${nodes.id} and ${pods.wanted} = 'run')`,
    })
    .from(nodes)
    .leftJoin(nodeStatus, eq(nodeStatus.nodeId, nodes.id))
    .orderBy(asc(nodes.name))
    .limit(10_000);
}

/** The id of the node of this name; undefined before it joined. */
export async function findNode(tx: Tx, name: string): Promise<NodeId | undefined> {
  const [row] = await tx.select({ id: nodes.id }).from(nodes).where(eq(nodes.name, name));
  return row && NodeIdSchema.parse(row.id);
}

// ---- called by api alone, when an agent joins --------------------------------------------------------

/** The node of this name, made or found, with a plan that it can ask for. */
export async function ensureNode(tx: Tx, name: string): Promise<NodeId> {
  await tx.insert(nodes).values({ name }).onConflictDoNothing();
  const id = await findNode(tx, name);
  if (id === undefined) throw new Error(`node "${name}" is gone right after it was made`);
  await tx.insert(nodePlans).values({ nodeId: id }).onConflictDoNothing();
  return id;
}

/** The key that the node's secrets are sealed to from now on; true when it is another than before. */
export async function storeNodeKey(tx: Tx, node: NodeId, publicKey: Uint8Array): Promise<boolean> {
  const changed = await tx
    .update(nodes)
    .set({ publicKey })
    .where(and(eq(nodes.id, node), sql`${nodes.publicKey} is distinct from ${publicKey}`))
    .returning({ id: nodes.id });
  return changed.length > 0;
}
