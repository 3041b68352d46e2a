import { inArray, sql } from "drizzle-orm";
import type { Db, Tx } from "./client.ts";
import { outbox, type Topic } from "./schema/outbox.ts";

/** PostgreSQL channels: "a nudge waits", and "something that people or agents wait for has changed". */
export const OUTBOX_CHANNEL = "waybill_outbox";
export const CHANGES_CHANNEL = "waybill_changes";

/** Leaves a nudge, together with the change that it is about or not at all. It says "look at this" and nothing else. */
export async function nudge(tx: Tx, topic: Topic, subject: string): Promise<void> {
  await tx.insert(outbox).values({ topic, subject });
  await tx.execute(sql`select pg_notify(${OUTBOX_CHANNEL}, '')`);
}

/**
 * Who waits for what: "app" (by id) for a release of it, "node" for its wish, "logs" for an app's
 * words, "execs" for commands asked of a node, "exec" for the frames of one session. "node:*" is every
 * node's wish.
 */
export type Change = `${"app" | "node" | "logs" | "execs" | "exec"}:${string}`;

/** Says, when the transaction commits, that `what` changed. A lost one costs a poll's length. */
export async function announce(tx: Tx, what: Change): Promise<void> {
  await tx.execute(sql`select pg_notify(${CHANGES_CHANNEL}, ${what})`);
}

/** The same of many things, in one statement. */
export async function announceAll(tx: Tx, all: readonly Change[]): Promise<void> {
  await tx.execute(sql`
    select count(pg_notify(${CHANGES_CHANNEL}, it))
    from unnest(${sql.param(all)}::text[]) as news (it)`);
}

export type Nudge = { readonly id: number; readonly topic: Topic; readonly subject: string };

/**
 * Hands up to `limit` nudges to `send` and forgets them once it has returned. A crash in between
 * sends them again, so `send` must be safe to repeat. Rows that another relay holds are passed over.
 */
export async function relayBatch(
  db: Db,
  limit: number,
  send: (nudges: readonly Nudge[]) => Promise<void>,
): Promise<number> {
  return await db.transaction(async (tx) => {
    const rows = await tx
      .select({ id: outbox.id, topic: outbox.topic, subject: outbox.subject })
      .from(outbox)
      .orderBy(outbox.id)
      .limit(limit)
      .for("update", { skipLocked: true });
    if (rows.length === 0) return 0;
    await send(rows);
    await tx.delete(outbox).where(
      inArray(
        outbox.id,
        rows.map((row) => row.id),
      ),
    );
    return rows.length;
  });
}
