import { and, eq, sql } from "drizzle-orm";
import type { NodeId } from "../../contract/ids.ts";
import { NO_SESSION } from "../../contract/node/host.ts";
import { revokeNodeTokens } from "../access/tokens.ts";
import type { Tx } from "../client.ts";
import { announce } from "../outbox.ts";
import { prepared } from "../prepared.ts";
import { nodeSessions } from "../schema/access.ts";

/* Which of the agents that have a node's token speaks for it: called by api alone. */

/** An agent that was silent for this long has lost its node to another one that asks. */
const HELD_FOR = sql`interval '30 seconds'`;
const SAME_REFUSAL = sql`interval '10 minutes'`;

export type Claim = { readonly node: NodeId; readonly session: string };

/**
 * Notes that this session was heard; false where another one speaks for the node. An agent that sends
 * none, of a version before there were sessions, gives way to one that does.
 */
export async function claimSession(tx: Tx, node: NodeId, session: string): Promise<boolean> {
  const [isTheirs = false] = await claimSessions(tx, [{ node, session }]);
  return isTheirs;
}

/**
 * The same of many; of two sessions that claim one node in here the first has it. Nodes that are gone
 * are nobody's. The rows are taken in one order everywhere, so that no two of these wait for each other.
 */
export async function claimSessions(tx: Tx, asked: readonly Claim[]): Promise<readonly boolean[]> {
  const firsts = new Map(asked.toReversed().map((it) => [it.node, it]));
  const rows = await claims(tx).execute({ claims: JSON.stringify([...firsts.values()]) });
  const taken = new Set(rows.map((it) => it.node));
  return asked.map(({ node, session }) => taken.has(node) && firsts.get(node)?.session === session);
}

const claims = prepared((tx: Pick<Tx, "insert">) =>
  tx
    .insert(nodeSessions)
    .select(sql`
      select nodes.id, claim.session, now(), null::uuid, null::timestamptz
      from jsonb_to_recordset(${sql.placeholder("claims")}::jsonb) as claim (node uuid, session uuid)
      join nodes on nodes.id = claim.node
      order by nodes.id for key share of nodes`)
    .onConflictDoUpdate({
      target: nodeSessions.nodeId,
      set: { session: sql`excluded.session`, seenAt: sql`now()` },
      setWhere: sql`${nodeSessions.session} = excluded.session or ${nodeSessions.session} = ${NO_SESSION}
        or ${nodeSessions.seenAt} < now() - ${HELD_FOR}`,
    })
    .returning({ node: nodeSessions.nodeId })
    .prepare("claims"),
);

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
