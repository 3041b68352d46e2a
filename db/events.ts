import { sql } from "drizzle-orm";
import type { AppId, ReleaseId } from "../contract/ids.ts";
import type { Tx } from "./client.ts";
import type { Happening } from "./nodes/sight-events.ts";
import { announce, announceAll } from "./outbox.ts";
import { events } from "./schema/history.ts";

export type EventType =
  | "release-created"
  | "build-started"
  | "build-progress"
  | "build-finished"
  | "pod-placed"
  | "pod-adopted"
  | "pod-waiting"
  | "pod-seen"
  | "pod-removed"
  | "release-rolling"
  | "release-live"
  | "release-retired"
  | "release-failed"
  | "release-superseded"
  | "release-cancelled"
  | "app-deleted"
  | Happening["type"];

export type Event = {
  readonly app: AppId;
  readonly release: ReleaseId | null;
  readonly type: EventType;
  readonly message: string;
};

/** Appends to an app's history and tells those who follow it. */
export async function record(tx: Tx, event: Event): Promise<void> {
  await tx.insert(events).values({
    appId: event.app,
    releaseId: event.release,
    type: event.type,
    message: event.message,
  });
  await announce(tx, `app:${event.app}`);
}

/** The same for many, in this order. */
export async function recordAll(tx: Tx, all: readonly Event[]): Promise<void> {
  if (all.length === 0) return;
  const column = <T>(of: (event: Event) => T) => sql.param(all.map(of));
  await tx.execute(sql`
    insert into ${events} (app_id, release_id, type, message)
    select * from unnest(
      ${column((it) => it.app)}::uuid[], ${column((it) => it.release)}::uuid[],
      ${column((it) => it.type)}::text[], ${column((it) => it.message)}::text[])`);
  await announceAll(
    tx,
    [...new Set(all.map((it) => it.app))].map((it) => `app:${it}` as const),
  );
}

/** The same, unless the same words stand there already and are no older than that. */
export async function recordOnce(tx: Tx, event: Event, seconds: number): Promise<void> {
  const { app, release, type, message } = event;
  const [same] = await tx.execute(sql`
    select 1 from ${events}
    where ${events.releaseId} is not distinct from ${release} and ${events.appId} = ${app}
      and ${events.at} > now() - make_interval(secs => ${seconds})
      and ${events.type} = ${type} and ${events.message} = ${message}
    limit 1`);
  if (same === undefined) await record(tx, event);
}
