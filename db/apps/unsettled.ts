import { and, lt, ne, or, sql } from "drizzle-orm";
import type { Db } from "../client.ts";
import { idempotencyKeys } from "../schema/access.ts";
import { workers } from "../schema/control.ts";
import { tokens } from "../schema/core.ts";
import type { Topic } from "../schema/outbox.ts";

export type Unsettled = {
  readonly topic: Topic;
  readonly subject: string;
  /**
   * True for what time alone makes due (a deadline, a lease that ran out) and for what waits its turn
   * behind a build; false for what a nudge should have brought about.
   */
  readonly expected: boolean;
  /**
   * Another one, another job: the same one again adds none while the first waits. A build's changes
   * when a worker took it; the scheduler's with time, since a killed worker's job stays for a while.
   */
  readonly turn: string;
};

/**
 * Everything that waits for somebody to look at it and has waited longer than a nudge takes. One
 * statement, no locks; returns at most 1,000 rows, oldest first.
 */
export async function findUnsettled(db: Db): Promise<readonly Unsettled[]> {
  const rows = await db.execute<Unsettled>(sql`
    with half_minute as (select floor(extract(epoch from now()) / 30)::text as turn),
    waiting as (
      select 'build' as topic, r.id::text as subject, r.phase_at as at,
        r.phase = 'building' or exists (select 1 from releases b
          where b.phase = 'building' and b.build_lease_until > now()) as expected,
        r.build_attempt::text as turn
      from releases r
      where (r.phase = 'pending' and r.phase_at < now() - interval '10 seconds')
         or (r.phase = 'building' and r.build_lease_until < now())
      union all
      select 'schedule', r.app_id::text, r.phase_at, r.phase = 'rolling', turn
      from releases r, half_minute
      where (r.phase = 'built' and r.phase_at < now() - interval '10 seconds')
         or (r.phase = 'rolling' and r.phase_at < now() - interval '5 seconds')
      union all
      select 'schedule', a.id::text, a.deleted_at, false, turn
      from apps a, half_minute
      where a.deleted_at < now() - interval '10 seconds'
        and (exists (select 1 from pods p where p.app_id = a.id and p.wanted = 'run')
          or exists (select 1 from releases r where r.app_id = a.id
                     and r.phase in ('pending', 'built', 'rolling', 'live')))
      union all
      select 'schedule', r.app_id::text, r.phase_at, true, turn
      from releases r, half_minute
      where r.phase = 'live' and r.phase_at < now() - interval '10 seconds'
        and ((r.spec->>'replicas')::int <>
            (select count(*) from pods p
             where p.app_id = r.app_id and p.release_id = r.id and p.wanted = 'run')
          or exists (select 1 from pods p
             where p.app_id = r.app_id and p.release_id <> r.id and p.wanted = 'run'))
    )
    select topic, subject, bool_and(expected) as expected, max(turn) as turn
    from waiting group by topic, subject order by min(at) limit 1000`);
  return [...rows];
}

/** Says that this worker lives; readiness asks for it. */
export async function heartbeat(db: Db, worker: string): Promise<void> {
  await db
    .insert(workers)
    .values({ id: worker })
    .onConflictDoUpdate({ target: workers.id, set: { seenAt: sql`now()` } });
}

/**
 * Drops what nobody asks for any more: workers silent for a day, idempotency keys older than one, the
 * nodes' tokens that ended 30 days ago (a person's stays: its file would bring it back to life), and
 * what happened to releases that ended 90 days ago.
 */
export async function forgetOld(db: Db): Promise<void> {
  const aDayAgo = sql`now() - interval '1 day'`;
  await db.delete(workers).where(lt(workers.seenAt, aDayAgo));
  await db.delete(idempotencyKeys).where(lt(idempotencyKeys.createdAt, aDayAgo));
  const aMonthAgo = sql`now() - interval '30 days'`;
  await db
    .delete(tokens)
    .where(
      and(
        ne(tokens.kind, "personal"),
        or(lt(tokens.expiresAt, aMonthAgo), lt(tokens.revokedAt, aMonthAgo)),
      ),
    );
  await forgetEvents(db);
}

/** At most 10,000 at once, so that the first time after long takes no table for itself. */
async function forgetEvents(db: Db): Promise<void> {
  await db.execute(sql`
    delete from events where id in (
      select e.id from events e join releases r on r.id = e.release_id
      where e.at < now() - interval '90 days' and r.phase_at < now() - interval '90 days'
        and r.phase in ('retired', 'failed', 'superseded', 'cancelled')
      limit 10000)`);
}
