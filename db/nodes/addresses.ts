import { and, eq, ne, sql } from "drizzle-orm";
import type { NodeId } from "../../contract/ids.ts";
import { reachableAddress } from "../../contract/node/host.ts";
import type { Tx } from "../client.ts";
import { nodeStatus } from "../schema/core.ts";
import { renewRoutes } from "./routes.ts";

/* Where the other nodes reach a node: called by api alone, with an agent's report. */

/** Why what a node tells is not taken; undefined where it is, and where this was said before. */
export type AddressTrouble = "unusable" | "another-nodes" | undefined;

/**
 * Takes the address that a node tells, unless another node has it: requests for its pods would go
 * there. It has it until it tells another one, is fenced or is removed. Every node is told its routes
 * anew when one moves.
 */
export async function storeAddress(
  tx: Tx,
  node: NodeId,
  told: string | undefined,
): Promise<AddressTrouble> {
  const [known] = await tx
    .select({ address: nodeStatus.address, told: nodeStatus.toldAddress })
    .from(nodeStatus)
    .where(eq(nodeStatus.nodeId, node));
  if (known && isStored(known, told)) return undefined;
  const wanted = told === undefined ? undefined : reachableAddress(told);
  const isNews = (known?.told ?? undefined) !== told;
  const isFree = wanted === undefined || !(await isAnothers(tx, node, wanted));
  const address = isFree && wanted !== undefined ? wanted : null;
  const toldAddress = told ?? null;
  // A report that says the same again is to be read whole: what it tells may be taken now.
  const moved = { address, toldAddress, lastReport: null };
  await tx.update(nodeStatus).set(moved).where(eq(nodeStatus.nodeId, node));
  if (address !== (known?.address ?? null)) await renewRoutes(tx);
  if (!isNews || told === undefined || address !== null) return undefined;
  return isFree ? "unusable" : "another-nodes";
}

/** Whether what a node tells is what is known of it, and taken. */
export function isStored(
  known: { readonly address: string | null; readonly told: string | null },
  told: string | undefined,
): boolean {
  const wanted = told === undefined ? undefined : reachableAddress(told);
  return (known.told ?? undefined) === told && (known.address ?? undefined) === wanted;
}

async function isAnothers(tx: Tx, node: NodeId, address: string): Promise<boolean> {
  // Of two that tell the same at once the second is to see the first.
  await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(${`address ${address}`}, 0))`);
  const others = await tx
    .select({ node: nodeStatus.nodeId })
    .from(nodeStatus)
    .where(and(eq(nodeStatus.address, address), ne(nodeStatus.nodeId, node)));
  return others.length > 0;
}
