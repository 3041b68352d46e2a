import { failOverdue } from "../../db/apps/deadlines.ts";
import { forgetGonePods } from "../../db/apps/placements.ts";
import { findUnsettled, forgetOld, heartbeat } from "../../db/apps/unsettled.ts";
import type { Db } from "../../db/client.ts";
import { forgetOldVersions } from "../../db/materials/forget.ts";
import { forgetOldExecs } from "../../db/streams/execs.ts";
import { forgetOldLogs } from "../../db/streams/logs.ts";
import type { Log } from "../../kit/log.ts";
import type { Queues } from "../queues.ts";

/**
 * Rings again for everything that nobody has looked at in time. What a nudge should have brought
 * about is counted and logged: the count should be 0, and when it is not, a nudge was lost.
 */
export async function sweep(deps: {
  db: Db;
  queues: Queues;
  log: Log;
  worker: string;
}): Promise<void> {
  const { db, queues, log, worker } = deps;
  // A worker that no bell reaches builds nothing: it is not counted as there.
  await queues.check();
  await heartbeat(db, worker);
  const unsettled = await findUnsettled(db);
  const lost = unsettled.filter((it) => !it.expected).length;
  if (lost > 0) log.warn("nudges were lost; ringing again", { lost });
  for (const { topic, subject, turn } of unsettled)
    await queues.add(topic, subject, `s${turn}-${subject}`);
}

/** A worker that comes back first takes what has waited for it. */
const GRACE_MS = 60_000;

/** What needs no hurry: ends what is overdue, and forgets what nobody asks for any more. */
export async function tidy(deps: { db: Db; log: Log; startedAtMs: number }): Promise<void> {
  const { db, log, startedAtMs } = deps;
  await forgetOld(db);
  await forgetGonePods(db);
  await forgetOldVersions(db);
  await forgetOldExecs(db);
  await forgetOldLogs(db);
  if (Date.now() - startedAtMs < GRACE_MS) return;
  const failed = await failOverdue(db);
  if (failed > 0) log.warn("releases failed that nobody moved on in time", { failed });
}
