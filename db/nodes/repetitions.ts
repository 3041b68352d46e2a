import { and, eq, isNotNull, isNull, not, or, sql } from "drizzle-orm";
import type { NodeId } from "../../contract/ids.ts";
import type { NodeReport } from "../../contract/node/protocol.ts";
import type { Db } from "../client.ts";
import { prepared } from "../prepared.ts";
import { type NodeUsage, nodeStatus } from "../schema/core.ts";
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
 * that comes late is to be dropped there. Rows are taken in one order everywhere, so that no two of these
 * wait for each other.
 */
export async function takeRepetitions(
  db: Db,
  said: readonly Repetition[],
): Promise<readonly boolean[]> {
  const rows = await repetitions(db).execute({ said: JSON.stringify(said) });
  const taken = new Map(rows.map(({ node, print }) => [node, print]));
  return said.map(({ node, print }) => taken.get(node) === print);
}

const repetitions = prepared((db: Db) => {
  const repeated = db.$with("repeated").as(
    db
      .select({
        node: nodeStatus.nodeId,
        usage: sql<NodeUsage>`said.usage`.as("said_usage"),
        sinceBootMs: sql<number | null>`said."sinceBootMs"`.as("said_since_boot_ms"),
      })
      .from(
        sql`jsonb_to_recordset(${sql.placeholder("said")}::jsonb)
          as said (node uuid, print text, usage jsonb, "sinceBootMs" bigint)`,
      )
      .innerJoin(
        nodeStatus,
        sql`${nodeStatus.nodeId} = said.node and ${nodeStatus.lastReport} = said.print`,
      )
      .where(
        and(
          or(isNotNull(nodeStatus.address), isNull(nodeStatus.toldAddress)),
          not(isLate(nodeStatus.bootId, sql`said."sinceBootMs"`)),
        ),
      )
      .orderBy(nodeStatus.nodeId)
      .for("no key update", { of: nodeStatus }),
  );
  return db
    .with(repeated)
    .update(nodeStatus)
    .set({
      seenAt: sql`now()`,
      usage: sql`${repeated.usage}`,
      sinceBootMs: sql`${repeated.sinceBootMs}`,
    })
    .from(repeated)
    .where(eq(nodeStatus.nodeId, repeated.node))
    .returning({ node: nodeStatus.nodeId, print: nodeStatus.lastReport })
    .prepare("repetitions");
});
