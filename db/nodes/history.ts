import { eq } from "drizzle-orm";
import type { NodeId } from "../../contract/ids.ts";
import type { Held, NodeReport } from "../../contract/node/protocol.ts";
import { anyOf } from "../any-of.ts";
import type { Tx } from "../client.ts";
import { nodePlans, nodeStatus } from "../schema/core.ts";

/*
 * Whether what a node holds was ever wished here. A database that was restored from a backup counts on from
 * where it was, and reaches again the generations that nodes hold from its first life: the numbers tell the
 * two apart for a while at most. So each generation has a random mark (node_plans.marks, the newest first),
 * and a wish is told only to a node that holds one whose mark stands there. See docs/decisions/0027.
 */

/** What a plan knows of itself. */
export type Plan = { readonly generation: number; readonly marks: readonly string[] };

/** Whether the wish that stands now came after the one that is held, in this database's own life. Pure. */
export function isOfHistory({ generation, mark }: Held, plan: Plan): boolean {
  // What was made before there were marks is known by its number alone.
  return mark === undefined ? generation <= plan.generation : plan.marks.includes(mark);
}

export function heldBy({ observedGeneration, observedMark }: NodeReport): Held {
  const mark = observedMark !== undefined && { mark: observedMark };
  return { generation: observedGeneration, ...mark };
}

/** A node that holds what this database never made. */
export type Ahead = {
  readonly held: Held;
  /** The generation that its wish has here. */
  readonly here: number;
  /** It did not say so in the report before. */
  readonly isNew: boolean;
};

/**
 * Those of the nodes that report who are ahead. One that nobody has a plan for is not. Asked before their
 * rows are held: a node that is adopted meanwhile is ahead once more, until its next report, which is read
 * whole as each of a node that is ahead.
 */
export async function aheadAmong(
  tx: Tx,
  said: readonly { readonly node: NodeId; readonly report: NodeReport }[],
): Promise<ReadonlyMap<NodeId, Ahead>> {
  const rows = await tx
    .select({
      node: nodePlans.nodeId,
      generation: nodePlans.generation,
      marks: nodePlans.marks,
      before: nodeStatus.ahead,
    })
    .from(nodePlans)
    .leftJoin(nodeStatus, eq(nodeStatus.nodeId, nodePlans.nodeId))
    .where(
      anyOf(
        nodePlans.nodeId,
        said.map((it) => it.node),
      ),
    );
  const plans = new Map(rows.map((it) => [it.node, it]));
  return new Map(
    said.flatMap(({ node, report }): [NodeId, Ahead][] => {
      const plan = plans.get(node);
      const held = heldBy(report);
      if (plan === undefined || isOfHistory(held, plan)) return [];
      const isNew = plan.before?.generation !== held.generation || plan.before?.mark !== held.mark;
      return [[node, { held, here: plan.generation, isNew }]];
    }),
  );
}
