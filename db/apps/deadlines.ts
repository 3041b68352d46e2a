import { and, eq, or, sql } from "drizzle-orm";
import type { Db } from "../client.ts";
import { record } from "../events.ts";
import { type Failure, releases } from "../schema/core.ts";

/* The deadlines of the phases in which a release only waits; builds and rollouts mind their own. */

const NEVER_BUILT: Failure = {
  slug: "never-built",
  message: "no worker took its build within an hour; see the workers' logs, and declare it again",
  log: [],
};
const NEVER_SCHEDULED: Failure = {
  slug: "never-scheduled",
  message: "placing its pods failed for 15 minutes; see the workers' logs, and declare it again",
  log: [],
};

/** Fails, with a reason, the releases that nobody moved on in time; says how many. */
export async function failOverdue(db: Db): Promise<number> {
  return await db.transaction(async (tx) => {
    const overdue = await tx
      .select({ id: releases.id, app: releases.appId, phase: releases.phase })
      .from(releases)
      .where(or(neverBuilt(), neverScheduled()))
      .limit(1_000)
      .for("update", { skipLocked: true });
    for (const { id, app, phase } of overdue) {
      const failure = phase === "pending" ? NEVER_BUILT : NEVER_SCHEDULED;
      await tx
        .update(releases)
        .set({ phase: "failed", phaseAt: sql`now()`, failure })
        .where(eq(releases.id, id));
      const { message } = failure;
      await record(tx, { app, release: id, type: "release-failed", message });
    }
    return overdue.length;
  });
}

/** A build that only waits its turn has time: as long as any is held, or was lately, turns come. */
function neverBuilt() {
  return and(
    eq(releases.phase, "pending"),
    sql`${releases.phaseAt} < now() - interval '1 hour'`,
    sql`not exists (select 1 from releases taken where taken.build_attempt > 0 and
      (taken.build_lease_until > now() or taken.phase_at > now() - interval '10 minutes'))`,
  );
}

/** The scheduler's first look makes it `rolling`, whether there is room or not. */
function neverScheduled() {
  return and(eq(releases.phase, "built"), sql`${releases.phaseAt} < now() - interval '15 minutes'`);
}
