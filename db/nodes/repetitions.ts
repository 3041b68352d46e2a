import { sql } from "drizzle-orm";
import type { NodeId } from "../../contract/ids.ts";
import type { NodeReport } from "../../contract/node/protocol.ts";
import type { Tx } from "../client.ts";
import type { NodeUsage } from "../schema/core.ts";
import { isLate } from "./late.ts";
import { withoutUsage } from "./usage.ts";

/*
 * Most reports say what the one before said, but for what containers take. Of each report that is stored
 * whole its print is kept (node_status.last_report), so that one with the same print is a sign of life
 * and nothing else. Called by api alone.
 */

/** What a print is made of: all that a report says but usage and when, and what its agent speaks. */
export function printedText(
  { pods, sinceBootMs: _, ...report }: NodeReport,
  protocol: number,
): string {
  return JSON.stringify([protocol, report, pods.map(withoutUsage)]);
}

export type Repetition = {
  readonly node: NodeId;
  readonly print: string;
  readonly usage: NodeUsage;
  readonly sinceBootMs?: number | undefined;
};

/**
 * Takes those of these reports that repeat what is stored, and says which they are. The others are to be
 * stored whole; so is one whose address another node has, since that one may have given it up, and one
 * that comes late is to be dropped there. Rows
 * are taken in one order everywhere, so that no two of these wait for each other.
 */
export async function takeRepetitions(
  tx: Tx,
  said: readonly Repetition[],
): Promise<readonly boolean[]> {
  const rows = await tx.execute<{ node: NodeId; print: string }>(sql`
    with repeated as (
      select node_id, said.usage, said."sinceBootMs"
      from jsonb_to_recordset(${JSON.stringify(said)}::jsonb)
        as said (node uuid, print text, usage jsonb, "sinceBootMs" bigint)
      join node_status on node_id = said.node and last_report = said.print
      where (address is not null or told_address is null)
        and not ${isLate(sql`boot_id`, sql`said."sinceBootMs"`)}
      order by node_id for no key update of node_status)
    update node_status
    set seen_at = now(), usage = repeated.usage, since_boot_ms = repeated."sinceBootMs"
    from repeated where node_status.node_id = repeated.node_id
    returning node_status.node_id as node, last_report as print`);
  const taken = new Map(rows.map(({ node, print }) => [node, print]));
  return said.map(({ node, print }) => taken.get(node) === print);
}
