import { and, eq, isNotNull, sql } from "drizzle-orm";
import type { NodeId } from "../../contract/ids.ts";
import { freePodRange } from "../../contract/node/host.ts";
import type { Joining } from "../access/tokens.ts";
import type { Tx } from "../client.ts";
import { nodePlans, nodes } from "../schema/core.ts";

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
  | { readonly kind: "taken"; readonly by: string }
  | { readonly kind: "none-left" };

/**
 * The addresses of this node's pods: those that it has already, where it says so, else the ones that it
 * was given before, else a range that no node has, looked for from number `start` on.
 */
export async function claimPodRange(
  tx: Tx,
  node: NodeId,
  own: string | undefined,
  start: number,
): Promise<RangeOutcome> {
  // Two that join at once must not be given the same.
  await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended('pod ranges', 0))`);
  const rows = await tx
    .select({ id: nodes.id, name: nodes.name, range: nodes.podRange })
    .from(nodes)
    .where(isNotNull(nodes.podRange));
  const others = new Map(
    rows.flatMap((it) => (it.id === node || !it.range ? [] : [[it.range, it.name]])),
  );
  const owner = own === undefined ? undefined : others.get(own);
  if (owner !== undefined) return { kind: "taken", by: owner };
  const before = rows.find((it) => it.id === node)?.range;
  const range = own ?? before ?? freePodRange(new Set(others.keys()), start);
  if (range === undefined) return { kind: "none-left" };
  if (range !== before) await tx.update(nodes).set({ podRange: range }).where(eq(nodes.id, node));
  return { kind: "given", range };
}
