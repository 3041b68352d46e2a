import { and, asc, eq, isNull, sql } from "drizzle-orm";
import { toBase64 } from "../../contract/base64.ts";
import type { AppId, NodeId, PodId } from "../../contract/ids.ts";
import type { ExecExit, ExecOutput, ExecSession } from "../../contract/node/exec.ts";
import type { PodStatus } from "../../contract/node/protocol.ts";
import type { Pod } from "../../contract/pod/pod.ts";
import { podSpec } from "../apps/pod-texts.ts";
import type { Db, Tx } from "../client.ts";
import { announce, CHANGES_CHANNEL } from "../outbox.ts";
import { nodes, podStatus, pods, podTexts, releases } from "../schema/core.ts";
import { execFrames, execSessions } from "../schema/streams.ts";

/*
 * Commands in containers: a session and its frames, between the api that a person asked and the
 * agent that asks the api. Both show signs of life; whoever shows none for a while is gone.
 */

/** Three of either side's usual signs. */
const GONE_AFTER = sql`interval '15 seconds'`;
/** Frames that may wait for each side: what a terminal shows in a moment. */
const MAX_BACKLOG_BYTES = 1024 * 1024;
const FRAMES_A_LOOK = 64;
/** Somebody waits for it, and it is not over. */
const OPEN = sql`not abandoned and exit is null and person_seen_at > now() - ${GONE_AFTER}`;

// ---- the person's side: called by api, for who asks -------------------------------------------------

export type ExecCandidate = {
  readonly pod: PodId;
  readonly name: string;
  readonly node: NodeId;
  readonly live: boolean;
  readonly spec: Pod;
  readonly status: PodStatus | null;
};

/** The app's pods that should run, newest release first. */
export async function podsForExec(tx: Tx, app: AppId): Promise<readonly ExecCandidate[]> {
  return await tx
    .select({
      pod: pods.id,
      name: pods.name,
      node: pods.nodeId,
      live: sql<boolean>`${releases.phase} = 'live'`,
      spec: podSpec,
      status: podStatus.status,
    })
    .from(pods)
    .innerJoin(podTexts, eq(podTexts.id, pods.textId))
    .innerJoin(releases, eq(releases.id, pods.releaseId))
    .innerJoin(nodes, eq(nodes.id, pods.nodeId))
    .leftJoin(podStatus, eq(podStatus.podId, pods.id))
    .where(and(eq(pods.appId, app), eq(pods.wanted, "run")))
    .orderBy(sql`${releases.number} desc`, asc(pods.createdAt), asc(pods.id))
    .limit(1_000);
}

/** How many of the app's commands are open; holds that number until the transaction ends. */
export async function countExecs(tx: Tx, app: AppId): Promise<number> {
  await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(${`exec|${app}`}::text, 0))`);
  const [row] = await tx.execute<{ open: number }>(
    sql`select count(*)::int as open from exec_sessions where app_id = ${app} and ${OPEN}`,
  );
  return row?.open ?? 0;
}

/** A new session, and word to its node; `input` is all the input there will be, where it is known. */
export async function openExec(
  tx: Tx,
  session: ExecSession,
  about: {
    readonly app: AppId;
    readonly node: NodeId;
    readonly input: readonly Uint8Array[] | undefined;
  },
): Promise<void> {
  const { id, pod: podId, ...rest } = session;
  const { app: appId, node: nodeId, input } = about;
  const inputEnded = input !== undefined;
  await tx.insert(execSessions).values({ id, appId, nodeId, podId, ...rest, inputEnded });
  const frames = (input ?? []).map((frame, seq) => {
    return { sessionId: id, direction: "in" as const, seq: seq + 1, frame };
  });
  if (frames.length > 0) await tx.insert(execFrames).values(frames);
  await announce(tx, `execs:${nodeId}`);
}

/** Puts frames for the agent down, numbered from `first`; false while too many wait there already. */
export async function putInput(
  db: Db,
  id: string,
  first: number,
  frames: readonly Uint8Array[],
): Promise<boolean> {
  // One statement, since a person waits for each key to show.
  const [row] = await db.execute<{ ok: boolean }>(
    sql`with room as (
          select coalesce(sum(octet_length(frame)), 0) <= ${MAX_BACKLOG_BYTES} as ok
          from exec_frames where session_id = ${id} and direction = 'in'),
        put as (${insertFrames(id, "in", first, frames)} where (select ok from room)
          on conflict do nothing)
        select ok, pg_notify(${CHANGES_CHANNEL}, ${`exec:${id}`}) from room`,
  );
  return row?.ok === true;
}

export type ExecProgress = {
  readonly frames: readonly Uint8Array[];
  /** Set once all frames before it have been taken. */
  readonly exit: ExecExit | undefined;
  readonly taken: boolean;
  /** Its agent has not taken it up, or has shown no sign of life since. */
  readonly agentGone: boolean;
};

/** Takes the next frames for the person, and shows that somebody waits for them. Undefined: there is no such session. */
export async function takeOutput(db: Db, id: string): Promise<ExecProgress | undefined> {
  // Before the frames: whoever sees the exit sees all that came with it or earlier.
  const [session] = await db.execute<{ exit: ExecExit | null; taken: boolean; gone: boolean }>(
    sql`with seen as (
          update exec_sessions set person_seen_at = now()
          where id = ${id} and person_seen_at < now() - interval '3 seconds')
        select exit, agent_seen_at is not null as taken,
          coalesce(agent_seen_at, created_at) < now() - ${GONE_AFTER} as gone
        from exec_sessions where id = ${id}`,
  );
  if (!session) return undefined;
  const rows = await db.execute<{ seq: number; frame: Uint8Array }>(
    sql`delete from exec_frames where session_id = ${id} and direction = 'out' and seq in (
          select seq from exec_frames where session_id = ${id} and direction = 'out'
          order by seq limit ${FRAMES_A_LOOK})
        returning seq, frame`,
  );
  const frames = [...rows].sort((a, b) => a.seq - b.seq).map((it) => it.frame);
  // An agent waits for room only where there was none.
  const bytes = frames.reduce((sum, it) => sum + it.length, 0);
  if (bytes > MAX_BACKLOG_BYTES / 4) await announce(db, `exec:${id}`);
  const exit = frames.length < FRAMES_A_LOOK ? (session.exit ?? undefined) : undefined;
  return { frames, exit, taken: session.taken, agentGone: session.gone };
}

/** Shows that somebody waits who cannot take more right now. */
export async function showPerson(tx: Tx, id: string): Promise<void> {
  await tx.execute(sql`update exec_sessions set person_seen_at = now() where id = ${id}`);
}

/** The person is done: a session that is over goes, the agent of another one is told to end it. */
export async function leaveExec(db: Db, id: string): Promise<void> {
  await db.transaction(async (tx) => {
    await tx.execute(
      sql`delete from exec_sessions where id = ${id} and (exit is not null or agent_seen_at is null)`,
    );
    await tx.update(execSessions).set({ abandoned: true }).where(eq(execSessions.id, id));
    await announce(tx, `exec:${id}`);
  });
}

// ---- the agent's side: called by api, for a node -----------------------------------------------------

/** The sessions of this node that nobody was given yet. Each is given once, since a command is not to run twice. */
export async function claimExecs(tx: Tx, node: NodeId): Promise<readonly ExecSession[]> {
  return await tx
    .update(execSessions)
    .set({ agentSeenAt: sql`now()` })
    .where(and(eq(execSessions.nodeId, node), isNull(execSessions.agentSeenAt), OPEN))
    .returning({
      id: execSessions.id,
      pod: execSessions.podId,
      container: execSessions.container,
      command: execSessions.command,
      tty: execSessions.tty,
      stdin: execSessions.stdin,
      timeoutSeconds: execSessions.timeoutSeconds,
    });
}

/** `none`: there is no such session, `anothers`: only on another node. `behind`: the person takes output more slowly than it comes. */
export type ExecSide = "none" | "anothers" | "over" | "open" | "behind";

/** Shows that the agent is at it, and tells whether anybody is there. */
export async function touchExec(tx: Tx, node: NodeId, id: string): Promise<ExecSide> {
  const [row] = await tx.execute<{ open: boolean; waiting: number }>(
    sql`update exec_sessions s set agent_seen_at = now()
        where id = ${id} and node_id = ${node}
        returning ${OPEN} as open,
          (select coalesce(sum(octet_length(frame)), 0)::int from exec_frames
            where session_id = s.id and direction = 'out') as waiting`,
  );
  if (!row) {
    const others = await tx.execute(sql`select from exec_sessions where id = ${id}`);
    return others.length === 0 ? "none" : "anothers";
  }
  if (!row.open) return "over";
  return row.waiting > MAX_BACKLOG_BYTES ? "behind" : "open";
}

/** What the person sent behind the frame `after`; frames up to it have arrived, and are forgotten. */
export async function readInput(
  tx: Tx,
  id: string,
  after: number,
): Promise<{
  readonly frames: readonly { seq: number; frame: Uint8Array }[];
  readonly ended: boolean;
}> {
  const own = and(eq(execFrames.sessionId, id), eq(execFrames.direction, "in"));
  if (after > 0) await tx.delete(execFrames).where(and(own, sql`${execFrames.seq} <= ${after}`));
  const [[session], frames] = await Promise.all([
    tx.select({ ended: execSessions.inputEnded }).from(execSessions).where(eq(execSessions.id, id)),
    tx
      .select({ seq: execFrames.seq, frame: execFrames.frame })
      .from(execFrames)
      .where(and(own, sql`${execFrames.seq} > ${after}`))
      .orderBy(asc(execFrames.seq))
      .limit(FRAMES_A_LOOK),
  ]);
  return { frames, ended: session?.ended === true && frames.length < FRAMES_A_LOOK };
}

/** Keeps the agent's frames, each once, and the exit with them. */
export async function putOutput(
  tx: Tx,
  id: string,
  output: {
    readonly first: number;
    readonly frames: readonly Uint8Array[];
    readonly exit: ExecOutput["exit"];
  },
): Promise<void> {
  const { first, frames, exit } = output;
  const said = exit === undefined ? null : JSON.stringify(exit);
  // The session's row is held, so that a batch waits for itself where it is sent again.
  await tx.execute(
    sql`with had as (select id, output_to from exec_sessions where id = ${id} for update),
        moved as (
          update exec_sessions s set exit = coalesce(s.exit, (${said}::text)::jsonb),
            output_to = greatest(s.output_to, ${first + frames.length - 1}::int)
          from had where s.id = had.id
          returning had.output_to as before),
        put as (${insertFrames(id, "out", first, frames)}
          where f.seq > (select before from moved) on conflict do nothing)
        select pg_notify(${CHANGES_CHANNEL}, ${`exec:${id}`})`,
  );
}

/** The agent has ended what nobody waits for any more. */
export async function forgetExec(tx: Tx, id: string): Promise<void> {
  await tx.execute(sql`delete from exec_sessions where id = ${id} and exit is null`);
}

function insertFrames(
  id: string,
  direction: "in" | "out",
  first: number,
  frames: readonly Uint8Array[],
): ReturnType<typeof sql> {
  const rows = frames.map((frame, at) => ({ seq: first + at, frame: toBase64(frame) }));
  return sql`insert into exec_frames (session_id, direction, seq, frame)
    select ${id}::uuid, ${direction}, f.seq, decode(f.frame, 'base64')
    from jsonb_to_recordset((${JSON.stringify(rows)}::text)::jsonb) as f(seq int, frame text)`;
}

// ---- called by worker/sweep --------------------------------------------------------------------------

/** Forgets sessions that neither side has touched for minutes. Answers how many. */
export async function forgetOldExecs(db: Db): Promise<number> {
  const gone = await db.execute(
    sql`delete from exec_sessions
        where greatest(person_seen_at, agent_seen_at, created_at) < now() - interval '2 minutes'
        returning 1`,
  );
  return gone.length;
}
