import type { AppId, ReleaseId } from "../../contract/ids.ts";
import { type EventRow, listEvents, type ReleaseRow, watchRelease } from "../../db/apps/history.ts";
import { databaseUnavailable } from "../../db/errors.ts";
import type { ApiDeps } from "../deps.ts";

/** Announcements can be lost; a look every second cannot. */
const LOOK_EVERY_MS = 1_000;
const EVENTS_A_LOOK = 500;

export type Watched = {
  readonly app: AppId;
  readonly release: ReleaseId;
  readonly number: number;
};

/** How the wait for a release ended. */
export type Ending =
  | { readonly kind: "live"; readonly release: ReleaseRow }
  | {
      readonly kind: "failed";
      readonly slug: string;
      readonly reason: string;
      readonly log: readonly string[];
    }
  | { readonly kind: "timeout"; readonly phase: string }
  | { readonly kind: "stopping" };

type Seen = NonNullable<Awaited<ReturnType<typeof watchRelease>>>;

/**
 * The events of a release, those that were first, until it is over, the time is, or `signal` says
 * so. A database that is away for a while only costs the while.
 */
export async function* follow(
  deps: Pick<ApiDeps, "db" | "changes">,
  watched: Watched,
  limits: { untilMs: number; signal: AbortSignal },
): AsyncGenerator<EventRow, Ending> {
  using watch = deps.changes.watch(`app:${watched.app}`);
  let after = 0;
  let phase = "pending";
  for (;;) {
    const look = await lookAt(deps, watched, after);
    for (const event of look?.events ?? []) {
      after = event.id;
      yield event;
    }
    const ending = look && endingOf(look.seen);
    if (ending) return ending;
    if (limits.signal.aborted) return { kind: "stopping" };
    phase = look?.seen?.phase ?? phase;
    const leftMs = limits.untilMs - Date.now();
    if (leftMs <= 0) return { kind: "timeout", phase };
    await watch.changed(Math.min(leftMs, LOOK_EVERY_MS), limits.signal);
  }
}

/** The state is read before the events, so that whoever sees the end sees every event that led to it. */
async function lookAt(deps: Pick<ApiDeps, "db">, watched: Watched, after: number) {
  try {
    const seen = await watchRelease(deps.db, watched.release);
    const events = await listEvents(deps.db, watched.app, {
      after,
      limit: EVENTS_A_LOOK,
      release: watched.number,
    });
    return { seen, events };
  } catch (error) {
    if (databaseUnavailable(error)) return undefined;
    throw error;
  }
}

/** Whether it is over. Pure. */
function endingOf(seen: Seen | undefined): Ending | undefined {
  if (seen === undefined) return over("removed", "the release is not there any more");
  switch (seen.phase) {
    case "live":
      return { kind: "live", release: seen };
    case "failed":
      return {
        kind: "failed",
        slug: seen.failure?.slug ?? "failed",
        reason: seen.failure?.message ?? "it failed",
        log: seen.failure?.log ?? [],
      };
    case "superseded":
      return over("superseded", `superseded by release ${seen.supersededBy}`);
    case "retired":
      return over("superseded", "a newer release has taken its place");
    case "cancelled":
      return over("cancelled", `cancelled by ${seen.cancelledBy}`);
    default:
      return seen.appGone ? over("removed", "the app was removed") : undefined;
  }
}

function over(slug: string, reason: string): Ending {
  return { kind: "failed", slug, reason, log: [] };
}
