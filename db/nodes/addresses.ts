import { and, asc, eq, inArray, isNotNull, isNull, ne, sql } from "drizzle-orm";
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

export type ToldAddress = {
  readonly node: NodeId;
  readonly told: string;
  /** The api's own address, which no node may tell. */
  readonly apis?: string | undefined;
};

/**
 * Takes the addresses that nodes tell, but for one that is another's: requests for its pods would go there,
 * and what comes from there would be believed. That is another node's, a pod's, or the api's own. A node
 * has its address until it tells another one, is fenced or is removed: an agent that has just started knows
 * none yet. One that is fenced gets none by a report that was under way. Every node is told its routes anew
 * when one moves. Call it last, as `renewRoutes`, which it calls.
 */
export async function storeAddresses(
  tx: Tx,
  all: readonly ToldAddress[],
): Promise<ReadonlyMap<NodeId, AddressTrouble>> {
  const wanted = all.flatMap(({ told }) => reachableAddress(told) ?? []);
  // Of two that tell the same at once the second is to see the first. All of them, in one order, before
  // anything moves: whoever waits here must not hold what those that it waits for may want.
  for (const address of [...new Set(wanted)].sort())
    await tx.execute(
      sql`select pg_advisory_xact_lock(hashtextextended(${`address ${address}`}, 0))`,
    );
  const outcomes: (Outcome & { readonly node: NodeId })[] = [];
  for (const it of all) outcomes.push({ node: it.node, ...(await storeAddress(tx, it)) });
  if (outcomes.some((it) => it.moved)) await renewRoutes(tx);
  return new Map(outcomes.map(({ node, trouble }) => [node, trouble]));
}

/** Whether what a node tells is what is known of it, and taken. */
export function isStored(
  known: { readonly address: string | null; readonly told: string | null },
  told: string,
): boolean {
  return known.told === told && known.address === (reachableAddress(told) ?? null);
}

type Outcome = { readonly moved: boolean; readonly trouble: AddressTrouble };

async function storeAddress(tx: Tx, { node, told, apis }: ToldAddress): Promise<Outcome> {
  const [known] = await tx
    .select({
      address: nodeStatus.address,
      told: nodeStatus.toldAddress,
      fenced: isNotNull(nodes.fencedAt).mapWith(Boolean),
    })
    .from(nodeStatus)
    .innerJoin(nodes, eq(nodes.id, nodeStatus.nodeId))
    .where(eq(nodeStatus.nodeId, node));
  if (known === undefined || isStored(known, told)) return { moved: false, trouble: undefined };
  if (known.fenced) {
    // Its report was under way when a person fenced it: taken back, it tells the same, and is to be heard.
    await tx.update(nodeStatus).set({ lastReport: null }).where(eq(nodeStatus.nodeId, node));
    return { moved: false, trouble: undefined };
  }
  const wanted = reachableAddress(told);
  const trouble = wanted === undefined ? "unusable" : await troubleWith(tx, node, wanted, apis);
  const address = trouble === undefined ? (wanted ?? null) : null;
  // A report that says the same again is to be read whole: what it tells may be taken now.
  const now = { address, toldAddress: told, lastReport: null };
  await tx.update(nodeStatus).set(now).where(eq(nodeStatus.nodeId, node));
  return {
    moved: address !== known.address,
    trouble: known.told === told ? undefined : trouble,
  };
}

async function troubleWith(
  tx: Tx,
  node: NodeId,
  address: string,
  apis: string | undefined,
): Promise<AddressTrouble> {
  if (address === apis) return "the-apis";
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
