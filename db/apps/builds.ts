import { and, desc, eq, gt, inArray, lt, or, sql } from "drizzle-orm";
import type { AppSpec } from "../../contract/app/app-spec.ts";
import type { AppId, Digest, ReleaseId } from "../../contract/ids.ts";
import type { Db, Tx } from "../client.ts";
import { record } from "../events.ts";
import { nudge } from "../outbox.ts";
import { apps, type Failure, projects, type ResolvedImages, releases } from "../schema/core.ts";

/* Releases on their way from `pending` to `built`: only worker/build calls what is here. */

/** A worker that has said nothing for this long has lost its build to whoever asks next. */
export const LEASE_SECONDS = 10;
/** A build that failed for no fault of its spec, or took its worker down, this often is not tried again. */
export const MAX_ATTEMPTS = 5;

export type BuildClaim = {
  readonly release: ReleaseId;
  readonly app: AppId;
  readonly project: string;
  readonly number: number;
  readonly spec: AppSpec;
  /** Every later write of this build carries it; a newer attempt makes those writes miss. */
  readonly attempt: number;
  /** The attempts so far that count, this one included. */
  readonly tries: number;
};

export type ClaimOutcome =
  | { readonly kind: "claimed"; readonly claim: BuildClaim }
  /** Another worker builds it, or it is past building. */
  | { readonly kind: "nothing-to-do" }
  | { readonly kind: "superseded"; readonly by: number }
  | { readonly kind: "given-up" };

/** Takes the build of a release: pending, or building by a worker that fell silent. The newest push wins. */
export async function claimBuild(db: Db, release: ReleaseId): Promise<ClaimOutcome> {
  return await db.transaction(async (tx): Promise<ClaimOutcome> => {
    const [row] = await tx
      .select({
        release: releases,
        name: apps.name,
        project: projects.name,
        deletedAt: apps.deletedAt,
      })
      .from(releases)
      .innerJoin(apps, eq(apps.id, releases.appId))
      .innerJoin(projects, eq(projects.id, apps.projectId))
      .where(and(eq(releases.id, release), claimable()))
      .for("update", { of: releases });
    if (!row) return { kind: "nothing-to-do" };
    const { appId: app, number, buildAttempt, buildInterrupted, spec } = row.release;
    if (row.deletedAt) {
      const cancelledBy = "the deletion of the app";
      await end(tx, row.release, { phase: "cancelled", cancelledBy });
      const message = `cancelled by ${cancelledBy}`;
      await record(tx, { app, release, type: "release-cancelled", message });
      return { kind: "nothing-to-do" };
    }
    const newer = await newestAfter(tx, app, number);
    if (newer !== undefined) {
      await end(tx, row.release, { phase: "superseded", supersededBy: newer });
      await record(tx, {
        app,
        release,
        type: "release-superseded",
        message: `release ${newer} is newer`,
      });
      return { kind: "superseded", by: newer };
    }
    const tries = buildAttempt - buildInterrupted + 1;
    if (tries > MAX_ATTEMPTS) {
      await fail(tx, row.release, {
        slug: "build-crashed",
        message: `its build did not end in ${MAX_ATTEMPTS} attempts; see the worker's log`,
        log: [],
      });
      return { kind: "given-up" };
    }
    const attempt = buildAttempt + 1;
    await tx
      .update(releases)
      .set({
        phase: "building",
        phaseAt: sql`now()`,
        buildAttempt: attempt,
        buildLeaseUntil: lease(),
      })
      .where(eq(releases.id, release));
    await record(tx, {
      app,
      release,
      type: "build-started",
      message: tries === 1 ? doing(spec) : `${doing(spec)}, attempt ${tries}`,
    });
    return {
      kind: "claimed",
      claim: { release, app, project: row.project, number, spec, attempt, tries },
    };
  });
}

function doing(spec: AppSpec): string {
  return "war" in spec ? "building the image" : "looking for the images";
}

/** Says that the build goes on; false when it belongs to somebody else by now and has to stop. */
export async function extendLease(db: Db, claim: BuildClaim): Promise<boolean> {
  const held = await db
    .update(releases)
    .set({ buildLeaseUntil: lease() })
    .where(heldBy(claim))
    .returning({ id: releases.id });
  return held.length === 1;
}

/** What a release is frozen to. */
export type Built = {
  /** The image that the app is named by: the first container's. */
  readonly repository: string;
  readonly image: Digest;
  /** What it was made on, where Waybill made it. */
  readonly base: Digest | null;
  /** For releases that name images: what each name stood for. */
  readonly images: ResolvedImages | null;
  /** Where requests go; null for a release that takes none. */
  readonly httpPort: number | null;
};

/** `building -> built`, with what was built; false when the claim was lost and nothing was written. */
export async function finishBuild(
  db: Db,
  claim: BuildClaim,
  built: Built,
  message: string,
): Promise<boolean> {
  return await db.transaction(async (tx) => {
    const written = await tx
      .update(releases)
      .set({
        phase: "built",
        phaseAt: sql`now()`,
        buildLeaseUntil: null,
        imageRepository: built.repository,
        imageDigest: built.image,
        baseDigest: built.base,
        images: built.images,
        httpPort: built.httpPort,
      })
      .where(heldBy(claim))
      .returning({ id: releases.id });
    if (written.length === 0) return false;
    await record(tx, { app: claim.app, release: claim.release, type: "build-finished", message });
    await nudge(tx, "schedule", claim.app);
    return true;
  });
}

/** `building -> failed`, with a reason; false when the claim was lost and nothing was written. */
export async function failBuild(db: Db, claim: BuildClaim, failure: Failure): Promise<boolean> {
  return await db.transaction(async (tx) => {
    const [held] = await tx.select().from(releases).where(heldBy(claim)).for("update");
    if (!held) return false;
    await fail(tx, held, failure);
    return true;
  });
}

export type GivenBack = {
  readonly message: string;
  /** How long nobody takes it. */
  readonly restMs: number;
  /** The worker stops: the attempt does not count. */
  readonly interrupted: boolean;
};

/**
 * Gives the build back, saying why, so that the sweep's first nudge after the rest may take it. False
 * when the claim was lost and nothing was written.
 */
export async function releaseBuild(db: Db, claim: BuildClaim, given: GivenBack): Promise<boolean> {
  return await db.transaction(async (tx) => {
    const written = await tx
      .update(releases)
      .set({
        buildLeaseUntil: secondsAhead(given.restMs / 1_000),
        buildInterrupted: sql`${releases.buildInterrupted} + ${Number(given.interrupted)}`,
      })
      .where(heldBy(claim))
      .returning({ id: releases.id });
    if (written.length === 0) return false;
    const { app, release } = claim;
    await record(tx, { app, release, type: "build-progress", message: given.message });
    return true;
  });
}

type ReleaseRow = typeof releases.$inferSelect;

function claimable() {
  return or(
    eq(releases.phase, "pending"),
    and(eq(releases.phase, "building"), lt(releases.buildLeaseUntil, sql`now()`)),
  );
}

function heldBy(claim: BuildClaim) {
  return and(
    eq(releases.id, claim.release),
    eq(releases.phase, "building"),
    eq(releases.buildAttempt, claim.attempt),
  );
}

function lease() {
  return secondsAhead(LEASE_SECONDS);
}

function secondsAhead(seconds: number) {
  return sql`now() + make_interval(secs => ${seconds})`;
}

async function newestAfter(tx: Tx, app: AppId, number: number): Promise<number | undefined> {
  const [newer] = await tx
    .select({ number: releases.number })
    .from(releases)
    .where(
      and(
        eq(releases.appId, app),
        gt(releases.number, number),
        inArray(releases.phase, ["pending", "building", "built", "rolling", "live"]),
      ),
    )
    .orderBy(desc(releases.number))
    .limit(1);
  return newer?.number;
}

async function end(
  tx: Tx,
  row: ReleaseRow,
  values: Pick<typeof releases.$inferInsert, "phase" | "supersededBy" | "cancelledBy" | "failure">,
): Promise<void> {
  await tx
    .update(releases)
    .set({ ...values, phaseAt: sql`now()`, buildLeaseUntil: null })
    .where(eq(releases.id, row.id));
}

async function fail(tx: Tx, row: ReleaseRow, failure: Failure): Promise<void> {
  await end(tx, row, { phase: "failed", failure });
  await record(tx, {
    app: row.appId,
    release: row.id,
    type: "release-failed",
    message: failure.message,
  });
}
