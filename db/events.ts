import type { AppId, ReleaseId } from "../contract/ids.ts";
import type { Tx } from "./client.ts";
import { announce } from "./outbox.ts";
import { events } from "./schema.ts";

export type EventType =
  | "release-created"
  | "build-started"
  | "build-progress"
  | "build-finished"
  | "pod-placed"
  | "pod-waiting"
  | "pod-seen"
  | "pod-removed"
  | "release-rolling"
  | "release-live"
  | "release-retired"
  | "release-failed"
  | "release-superseded"
  | "release-cancelled"
  | "app-deleted";

/** Appends to an app's history and tells those who follow it. */
export async function record(
  tx: Tx,
  event: { app: AppId; release: ReleaseId | null; type: EventType; message: string },
): Promise<void> {
  await tx.insert(events).values({
    appId: event.app,
    releaseId: event.release,
    type: event.type,
    message: event.message,
  });
  await announce(tx, `app:${event.app}`);
}
