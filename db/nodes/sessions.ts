import { and, eq, type SQL, sql } from "drizzle-orm";
import type { NodeId } from "../../contract/ids.ts";
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

/** By the name of a node, and by the id of the token. */
export type Asker = { readonly name: string; readonly session: string; readonly token: string };

/** For each the node of this name, and whether this session is known to speak for it; undefined before it joined. */
export async function findSpeakers(
  tx: Tx,
  asked: readonly Asker[],
): Promise<readonly (Speaker | undefined)[]> {
  const rows = await tx
    .select({
      at: sql<number>`asked.at`,
      node: nodes.id,
      shutOut: sql<boolean>`${nodes.fencedAt} is not null or ${tokens.id} is null`,
      heard: sql<boolean>`coalesce(${nodeSessions.session} = asked.session
        and ${nodeSessions.seenAt} > now() - ${GRAIN}, false)`,
    })
    .from(sql`${numbered(asked)} as asked (at int, name text, session uuid, token text)`)
    .innerJoin(nodes, sql`${nodes.name} = asked.name`)
    .leftJoin(tokens, sql`${tokens.id} = asked.token and ${tokens.revokedAt} is null`)
    .leftJoin(nodeSessions, eq(nodeSessions.nodeId, nodes.id))
    .prepare("speakers")
    .execute();
  const found = new Map(rows.map(({ at, ...speaker }) => [at, speaker]));
  return asked.map((_, at) => found.get(at));
}

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
export async function claimSessions(tx: Tx, claims: readonly Claim[]): Promise<readonly boolean[]> {
  const firsts = new Map(claims.toReversed().map((it) => [it.node, it]));
  const rows = await tx.execute<{ node: NodeId }>(sql`
    insert into node_sessions (node_id, session)
    select nodes.id, claim.session
    from ${numbered([...firsts.values()])} as claim (node uuid, session uuid)
    join nodes on nodes.id = claim.node
    order by nodes.id for key share of nodes
    on conflict (node_id) do update set session = excluded.session, seen_at = now()
    where node_sessions.session = excluded.session or node_sessions.session = ${NO_SESSION}
       or node_sessions.seen_at < now() - ${HELD_FOR}
    returning node_id as node`);
  const taken = new Set(rows.map((it) => it.node));
  return claims.map(
    ({ node, session }) => taken.has(node) && firsts.get(node)?.session === session,
  );
}

/** Rows of a statement, each with its place among them as `at`. */
function numbered(rows: readonly object[]): SQL {
  return sql`jsonb_to_recordset(${JSON.stringify(rows.map((row, at) => ({ at, ...row })))}::jsonb)`;
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
