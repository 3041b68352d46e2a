import { and, eq, isNotNull, or, sql } from "drizzle-orm";
import type { NodeId } from "../../contract/ids.ts";
import { freePodRange, rangeAround } from "../../contract/node/host.ts";
import type { Joining } from "../access/tokens.ts";
import type { Tx } from "../client.ts";
import { nodePlans, nodeStatus, nodes } from "../schema/core.ts";

/* How a host becomes a node: called by api alone, when an agent joins. */

/**
 * The node of this name, made or found, with a plan that it can ask for; undefined for one that is fenced,
 * unless a person meant it to join: that ends the fence.
 */
export async function ensureNode(
  tx: Tx,
  name: string,
  { labels, most, meant }: Joining,
): Promise<NodeId | undefined> {
  const said = { ...(labels && { labels: { ...labels } }), ...(most && { most }) };
  const [node] = await tx
    .insert(nodes)
    .values({ name, ...said })
    .onConflictDoUpdate({
      target: nodes.name,
      set: { ...said, fencedAt: meant ? null : sql`${nodes.fencedAt}` },
    })
    .returning({ id: nodes.id, fencedAt: nodes.fencedAt });
  if (node === undefined) throw new Error("the upsert of nodes returned no row");
  if (node.fencedAt !== null) return undefined;
  await tx.insert(nodePlans).values({ nodeId: node.id }).onConflictDoNothing();
  return node.id;
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

export type RangeOutcome =
  | { readonly kind: "given"; readonly range: string }
  /** The range that was asked for has another node's pods or, with `as`, its address in it. */
  | { readonly kind: "taken"; readonly by: string; readonly as: "pods" | "address" }
  | { readonly kind: "none-left" };

/**
 * The addresses of this node's pods: those that it has already, where it says so, else the ones that it
 * was given before, else a range that no node has, looked for from number `start` on, and in which
 * neither a node's address is nor `joiner`, where this host asks from.
 */
export async function claimPodRange(
  tx: Tx,
  node: NodeId,
  own: string | undefined,
  { start, joiner }: { readonly start: number; readonly joiner: string | null },
): Promise<RangeOutcome> {
  // Two that join at once must not be given the same.
  await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended('pod ranges', 0))`);
  const rows = await tx
    .select({ id: nodes.id, name: nodes.name, range: nodes.podRange, address: nodeStatus.address })
    .from(nodes)
    .leftJoin(nodeStatus, eq(nodeStatus.nodeId, nodes.id))
    .where(or(isNotNull(nodes.podRange), isNotNull(nodeStatus.address)));
  const others = rows.filter((it) => it.id !== node);
  const ofPods = others.find((it) => it.range === own);
  if (own !== undefined && ofPods) return { kind: "taken", by: ofPods.name, as: "pods" };
  const around = (address: string | null) => (address === null ? undefined : rangeAround(address));
  const ofHost = others.find((it) => around(it.address) === own);
  if (own !== undefined && ofHost) return { kind: "taken", by: ofHost.name, as: "address" };
  const before = rows.find((it) => it.id === node)?.range ?? undefined;
  const taken = others.flatMap((it) => [it.range, around(it.address)]);
  const avoid = new Set([...taken, around(joiner)].filter((it) => it != null));
  const range = own ?? before ?? freePodRange(avoid, start);
  if (range === undefined) return { kind: "none-left" };
  if (range !== before) await tx.update(nodes).set({ podRange: range }).where(eq(nodes.id, node));
  return { kind: "given", range };
}
