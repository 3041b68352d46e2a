import { setInterval } from "node:timers/promises";
import { type AppId, ReleaseId } from "../../contract/ids.ts";
import {
  type BuildClaim,
  claimBuild,
  extendLease,
  failBuild,
  finishBuild,
  LEASE_SECONDS,
  MAX_ATTEMPTS,
  releaseBuild,
} from "../../db/apps/builds.ts";
import type { Db } from "../../db/client.ts";
import { withoutValues } from "../../db/errors.ts";
import { record } from "../../db/events.ts";
import { backoffMs } from "../../kit/backoff.ts";
import type { Log } from "../../kit/log.ts";
import type { Egress } from "../egress/request.ts";
import type { Bases } from "./base.ts";
import { freezeImages } from "./freeze-images.ts";
import { RegistryUnreachable } from "./images/problem.ts";
import { makeWarRelease } from "./make-war-release.ts";
import type { Registry } from "./registry.ts";
import { RegistryError } from "./registry-call.ts";

export type BuildDeps = {
  readonly db: Db;
  readonly registry: Registry;
  /** The way to registries that are not Waybill's own. */
  readonly egress: Egress;
  /** `host:port` of every address that Waybill's own registry has. */
  readonly ownAddresses: ReadonlySet<string>;
  readonly bases: Bases;
  readonly workDir: string;
  readonly log: Log;
  readonly signal: AbortSignal;
};

/** One attempt, the making of a base image or the copying of images included. */
const DEADLINE_MS = 15 * 60_000;
const TOO_LATE = "it took longer than 15 minutes";
/** A third of a lease, so that one late beat loses nothing. */
const BEAT_MS = 3_000;
/** 2 s, 4 s, 8 s and 16 s: a registry that starts anew is back before the last attempt. */
const REST = { minMs: 2_000, maxMs: 16_000 };

/**
 * One look at one release: makes or finds its images if it is this worker's turn, and writes down what
 * came of it. Answers the app whose scheduler has something to look at then.
 */
export async function buildRelease(deps: BuildDeps, subject: string): Promise<AppId | undefined> {
  const outcome = await claimBuild(deps.db, ReleaseId.parse(subject));
  if (outcome.kind !== "claimed") return undefined;
  const { claim } = outcome;
  try {
    await whileHeld(deps, claim, (held) => build(deps, claim, held));
    return claim.app;
  } catch (error) {
    await giveBack(deps, claim, error);
    const { release, attempt } = claim;
    throw new Error(`building release ${release}, attempt ${attempt}`, { cause: error });
  }
}

/** No beat comes after it: one would take the rest away that a failed build is given. */
async function whileHeld(
  deps: BuildDeps,
  claim: BuildClaim,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const lost = new AbortController();
  const beat = holdLease(deps, claim, lost);
  const tooLate = new AbortController();
  const deadline = setTimeout(() => tooLate.abort(new Error(TOO_LATE)), DEADLINE_MS);
  try {
    await work(AbortSignal.any([deps.signal, lost.signal, tooLate.signal]));
  } finally {
    clearTimeout(deadline);
    lost.abort();
    await beat;
  }
}

async function build(deps: BuildDeps, claim: BuildClaim, signal: AbortSignal): Promise<void> {
  const { db, bases, log } = deps;
  const { app, release, spec } = claim;
  const progress = (message: string) =>
    record(db, { app, release, type: "build-progress", message });
  const startedMs = Date.now();
  const made =
    "war" in spec
      ? await makeWarRelease({ ...deps, progress, signal }, claim, spec)
      : await freezeImages({ ...deps, progress, signal }, claim, spec);
  if (made.kind === "refused") {
    await failBuild(db, claim, { slug: made.slug, message: made.message, log: [] });
    return;
  }
  // No pod starts without it, and the registry may have been away, or another one, when this worker started.
  await bases.pause(progress, signal);
  const tookMs = Date.now() - startedMs;
  const written = await finishBuild(db, claim, made.built, `${made.message} in ${tookMs} ms`);
  log.info(written ? "built" : "built for nothing, the claim was lost", {
    release,
    image: made.built.image,
    ...made.figures,
  });
}

/**
 * What broke was not the spec: a later attempt may fare better, each after a longer rest, so that half
 * a minute without a registry fails no release. After the last one the release says why.
 */
async function giveBack(
  { db, signal }: BuildDeps,
  claim: BuildClaim,
  error: unknown,
): Promise<void> {
  const told = withoutValues(error);
  const why = told instanceof Error ? told.message : String(told);
  const { tries } = claim;
  if (signal.aborted) {
    const message = "the worker stops; the build will be repeated";
    await releaseBuild(db, claim, { message, restMs: 0, interrupted: true });
    return;
  }
  if (tries >= MAX_ATTEMPTS) {
    const message = `the build failed ${tries} times: ${why}`;
    await failBuild(db, claim, { slug: slugOf(error), message, log: [] });
    return;
  }
  const restMs = backoffMs(tries - 1, REST);
  const message = `attempt ${tries} failed and will be repeated in ${restMs / 1_000} s: ${why}`;
  await releaseBuild(db, claim, { message, restMs, interrupted: false });
}

function slugOf(error: unknown): string {
  if (error instanceof RegistryUnreachable) return error.slug;
  const full = error instanceof RegistryError && error.kind === "full";
  return full ? "registry-full" : "build-failed";
}

/**
 * Extends the lease until `lost` is aborted; aborts it itself when the build went to somebody else, or
 * may have by now: a database that is away for less than a lease costs no build.
 */
async function holdLease(
  { db, log }: BuildDeps,
  claim: BuildClaim,
  lost: AbortController,
): Promise<void> {
  let heldFromMs = Date.now();
  const beat = async () => {
    const askedAtMs = Date.now();
    if (await extendLease(db, claim)) heldFromMs = askedAtMs;
    else lost.abort();
  };
  const onMissed = (error: unknown) => {
    log.error("extending a build's lease", withoutValues(error), { release: claim.release });
    if (Date.now() - heldFromMs >= LEASE_SECONDS * 1_000) lost.abort();
  };
  try {
    for await (const _ of setInterval(BEAT_MS, undefined, { signal: lost.signal }))
      await beat().catch(onMissed);
  } catch (error) {
    if (!lost.signal.aborted) throw error;
  }
}
