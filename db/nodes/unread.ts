import { sql } from "drizzle-orm";
import type { NodeId } from "../../contract/ids.ts";
import type { Db } from "../client.ts";
import { brokenConstraint } from "../errors.ts";
import { nodeStatus } from "../schema/core.ts";
import { STATUS_OF_A_NODE } from "./sight.ts";

/**
 * A sign of life of an agent that speaks a later protocol, whose report is not read: what it saw and what
 * it offers stay as it said last, which is nothing where it was never understood. False: the node was removed
 * while its report was on the way. Called by api alone.
 */
export async function storeUnread(db: Db, node: NodeId, protocol: number): Promise<boolean> {
  const nothing = { cpuMillis: 0, memoryBytes: 0, pods: 0 };
  const told = { version: "unknown", protocol };
  try {
    await db
      .insert(nodeStatus)
      .values({ nodeId: node, observedGeneration: 0, bootId: "", capacity: nothing, ...told })
      .onConflictDoUpdate({
        target: nodeStatus.nodeId,
        // What is read next is to be read whole, also where it says what was said before this.
        set: { ...told, seenAt: sql`now()`, lastReport: null },
      });
    return true;
  } catch (error) {
    if (brokenConstraint(error) !== STATUS_OF_A_NODE) throw error;
    return false;
  }
}
