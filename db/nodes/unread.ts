import { sql } from "drizzle-orm";
import type { NodeId } from "../../contract/ids.ts";
import type { Tx } from "../client.ts";
import { nodeStatus } from "../schema/core.ts";

/**
 * A sign of life of an agent that speaks a later protocol, whose report is not read: what it saw and what
 * it offers stay as it said last, which is nothing where it was never understood. Called by api alone.
 */
export async function storeUnread(tx: Tx, node: NodeId, protocol: number): Promise<void> {
  const nothing = { cpuMillis: 0, memoryBytes: 0, pods: 0 };
  const told = { version: "unknown", protocol };
  await tx
    .insert(nodeStatus)
    .values({ nodeId: node, observedGeneration: 0, bootId: "", capacity: nothing, ...told })
    .onConflictDoUpdate({
      target: nodeStatus.nodeId,
      // What is read next is to be read whole, also where it says what was said before this.
      set: { ...told, seenAt: sql`now()`, lastReport: null },
    });
}
