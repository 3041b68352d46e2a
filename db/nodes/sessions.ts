import { and, eq, sql } from "drizzle-orm";
import { type NodeId, NodeId as NodeIdSchema } from "../../contract/ids.ts";
import { NO_SESSION } from "../../contract/node/host.ts";
import { revokeNodeTokens } from "../access/tokens.ts";
import type { Tx } from "../client.ts";
import { announce } from "../outbox.ts";
import { nodeSessions } from "../schema/access.ts";
import { nodes, tokens } from "../schema/core.ts";

/* Which of the agents that have a node's token speaks for it: called by api alone. */

/** An agent that was silent for this long has lost its node to another one that asks. */
const HELD_FOR = sql`interval '30 seconds'`;
/** No sooner is it written down again that an agent was heard. */
const GRAIN = sql`interval '5 seconds'`;
const SAME_REFUSAL = sql`interval '10 minutes'`;

export type Speaker = {
  readonly node: NodeId;
  /** The token that it asks with has ended, or a person fenced the node. */
  readonly shutOut: boolean;
  /** This session speaks for the node, and was heard a moment ago. */
  readonly heard: boolean;
};

/** The node of this name, and whether this session is known to speak for it; undefined where there is none. */
export async function findSpeaker(
  tx: Tx,
  name: string,
  { session, token }: { readonly session: string; readonly token: string },
): Promise<Speaker | undefined> {
  const [row] = await tx
    .select({
      node: nodes.id,
      shutOut: sql<boolean>`${nodes.fencedAt} is not null or not exists (
        select from ${tokens} where ${tokens.id} = ${token} and ${tokens.revokedAt} is null)`,
      heard: sql<boolean>`coalesce(${nodeSessions.session} = ${session} and ${nodeSessions.seenAt} > now() - ${GRAIN}, false)`,
    })
    .from(nodes)
    .leftJoin(nodeSessions, eq(nodeSessions.nodeId, nodes.id))
    .where(eq(nodes.name, name));
  return row && { ...row, node: NodeIdSchema.parse(row.node) };
}

/**
 * Notes that this session was heard; false where another one speaks for the node. An agent that sends
 * none, of a version before there were sessions, gives way to one that does.
 */
export async function claimSession(tx: Tx, node: NodeId, session: string): Promise<boolean> {
  const rows = await tx
    .insert(nodeSessions)
    .values({ nodeId: node, session })
    .onConflictDoUpdate({
      target: nodeSessions.nodeId,
      set: { session: sql`excluded.session`, seenAt: sql`now()` },
      setWhere: sql`${nodeSessions.session} = excluded.session or ${nodeSessions.session} = ${NO_SESSION} or ${nodeSessions.seenAt} < now() - ${HELD_FOR}`,
    })
    .returning({ node: nodeSessions.nodeId });
  return rows.length === 1;
}

/** True once in a while for each session that is refused: one that asks every second is no news. */
export async function noteRefusal(tx: Tx, node: NodeId, session: string): Promise<boolean> {
  const noted = await tx
    .update(nodeSessions)
    .set({ refused: session, refusedAt: sql`now()` })
    .where(
      and(
        eq(nodeSessions.nodeId, node),
        sql`(${nodeSessions.refused} is distinct from ${session}::uuid or ${nodeSessions.refusedAt} < now() - ${SAME_REFUSAL})`,
      ),
    )
    .returning({ node: nodeSessions.nodeId });
  return noted.length === 1;
}

/** This session's agent has stopped: whoever asks next speaks for the node. */
export async function releaseSession(tx: Tx, node: NodeId, session: string): Promise<void> {
  await tx
    .delete(nodeSessions)
    .where(and(eq(nodeSessions.nodeId, node), eq(nodeSessions.session, session)));
}

/** Whoever spoke for the node does so no more, and hears of it where it waits for something. */
export async function shutOut(tx: Tx, node: NodeId, name: string): Promise<void> {
  await tx.delete(nodeSessions).where(eq(nodeSessions.nodeId, node));
  for (const kind of ["node", "join"] as const) await revokeNodeTokens(tx, kind, name);
  await wakeAgents(tx, node);
}

/** An agent that waits with a token that has ended is to hear of it. */
export async function wakeAgents(tx: Tx, node: NodeId): Promise<void> {
  for (const topic of [`node:${node}`, `execs:${node}`] as const) await announce(tx, topic);
}
