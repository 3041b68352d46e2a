import { and, asc, eq, inArray, isNull, ne, sql } from "drizzle-orm";
import type { NodeId } from "../../contract/ids.ts";
import { reachableAddress } from "../../contract/node/host.ts";
import type { Tx } from "../client.ts";
import { nodeStatus, nodes } from "../schema/core.ts";
import { renewRoutes } from "./routes.ts";

/* Where the other nodes reach a node. */

/**
 * Those of these nodes that the others know no address of, and what they tell instead. None where there
 * is no other node that could ask.
 */
export async function withoutAddress(
  tx: Tx,
  ids: readonly NodeId[],
): Promise<readonly { readonly name: string; readonly told: string | null }[]> {
  if (ids.length === 0) return [];
  return await tx
    .select({ name: nodes.name, told: nodeStatus.toldAddress })
    .from(nodes)
    .leftJoin(nodeStatus, eq(nodeStatus.nodeId, nodes.id))
    .where(
      and(
        inArray(nodes.id, [...ids]),
        isNull(nodeStatus.address),
        isNull(nodes.fencedAt),
        sql`exists (select from nodes as other where other.id <> ${nodes.id} and other.fenced_at is null)`,
      ),
    )
    .orderBy(asc(nodes.name));
}

// ---- called by api alone, with an agent's report ------------------------------------------------------

/** Why what a node tells is not taken; undefined where it is, and where this was said before. */
export type AddressTrouble = "unusable" | "another-nodes" | "of-pods" | "the-apis" | undefined;

/**
 * Takes the address that a node tells, unless it is another's: requests for its pods would go there, and
 * what comes from there would be believed. That is another node's, a pod's, or `apis`, the api's own. It
 * has it until it tells another one, is fenced or is removed: an agent that has just started knows none
 * yet. Every node is told its routes anew when one moves.
 */
export async function storeAddress(
  tx: Tx,
  node: NodeId,
  told: string | undefined,
  apis?: string,
): Promise<AddressTrouble> {
  const [known] = await tx
    .select({ address: nodeStatus.address, told: nodeStatus.toldAddress })
    .from(nodeStatus)
    .where(eq(nodeStatus.nodeId, node));
  if (known && isStored(known, told)) return undefined;
  const wanted = told === undefined ? undefined : reachableAddress(told);
  const isNews = (known?.told ?? undefined) !== told;
  const trouble = wanted === undefined ? "unusable" : await troubleWith(tx, node, wanted, apis);
  const address = trouble === undefined ? (wanted ?? null) : null;
  const toldAddress = told ?? null;
  // A report that says the same again is to be read whole: what it tells may be taken now.
  const moved = { address, toldAddress, lastReport: null };
  await tx.update(nodeStatus).set(moved).where(eq(nodeStatus.nodeId, node));
  if (address !== (known?.address ?? null)) await renewRoutes(tx);
  return isNews && told !== undefined ? trouble : undefined;
}

/** Whether what a node tells is what is known of it, and taken; so is nothing, which says nothing of it. */
export function isStored(
  known: { readonly address: string | null; readonly told: string | null },
  told: string | undefined,
): boolean {
  if (told === undefined) return true;
  const wanted = reachableAddress(told);
  return (known.told ?? undefined) === told && (known.address ?? undefined) === wanted;
}

async function troubleWith(
  tx: Tx,
  node: NodeId,
  address: string,
  apis: string | undefined,
): Promise<AddressTrouble> {
  if (address === apis) return "the-apis";
  // Of two that tell the same at once the second is to see the first.
  await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(${`address ${address}`}, 0))`);
  const others = await tx
    .select({ node: nodeStatus.nodeId })
    .from(nodeStatus)
    .where(and(eq(nodeStatus.address, address), ne(nodeStatus.nodeId, node)));
  if (others.length > 0) return "another-nodes";
  const ranges = await tx
    .select({ node: nodes.id })
    .from(nodes)
    .where(sql`${address}::inet << ${nodes.podRange}::cidr`)
    .limit(1);
  return ranges.length > 0 ? "of-pods" : undefined;
}
