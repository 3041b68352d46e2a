import { setInterval } from "node:timers/promises";
import { type AppId, ReleaseId } from "../../contract/ids.ts";
import {
  type BuildClaim,
  claimBuild,
  extendLease,
  failBuild,
  finishBuild,
  imageOfEqualRelease,
  LEASE_SECONDS,
  MAX_ATTEMPTS,
  releaseBuild,
} from "../../db/builds.ts";
import type { Db } from "../../db/client.ts";
import { withoutValues } from "../../db/errors.ts";
import { record } from "../../db/events.ts";
import { backoffMs } from "../../kit/backoff.ts";
import type { Log } from "../../kit/log.ts";
import type { Bases } from "./base.ts";
import type { Registry } from "./registry.ts";
import { buildWarImage, type WarImage, type WarRefusal } from "./war-image.ts";

export type BuildDeps = {
  readonly db: Db;
  readonly registry: Registry;
  readonly bases: Bases;
  readonly workDir: string;
  readonly log: Log;
  readonly signal: AbortSignal;
};

/** One attempt, the making of a base image included. */
const DEADLINE_MS = 15 * 60_000;
/** A third of a lease, so that one late beat loses nothing. */
const BEAT_MS = 3_000;
/** 2 s, 4 s, 8 s and 16 s: a registry that starts anew is back before the last attempt. */
const REST = { minMs: 2_000, maxMs: 16_000 };

/**
 * One look at one release: builds its image if it is this worker's turn, and writes down what came
 * of it. Answers the app whose scheduler has something to look at then.
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
  try {
    const deadline = AbortSignal.timeout(DEADLINE_MS);
    await work(AbortSignal.any([deps.signal, lost.signal, deadline]));
  } finally {
    lost.abort();
    await beat;
  }
}

async function build(deps: BuildDeps, claim: BuildClaim, signal: AbortSignal): Promise<void> {
  const { db, bases, registry } = deps;
  const progress = (message: string) =>
    record(db, { app: claim.app, release: claim.release, type: "build-progress", message });
  const startedMs = Date.now();
  const base = await bases.tomcat(progress, signal);
  const earlier = await imageOfEqualRelease(db, claim, base.digest);
  // A registry that lost its bytes gets them again, and no pod waits for what is not there.
  if (earlier && (await registry.manifestDigest(earlier.repository, earlier.image, signal))) {
    await finishBuild(
      db,
      claim,
      { ...earlier, base: base.digest },
      "the image of an earlier release is the same",
    );
    return;
  }
  const result = await buildWarImage(
    { ...deps, progress, signal },
    {
      artifact: claim.spec.war.artifact,
      artifactRepository: `artifacts/${claim.project}`,
      repository: repositoryOf(claim),
      contextPath: claim.spec.war.contextPath,
      tomcatVersion: claim.spec.tomcat.version,
    },
  );
  await writeDown(deps, claim, result, Date.now() - startedMs);
}

async function writeDown(
  { db, log }: BuildDeps,
  claim: BuildClaim,
  result: WarImage | WarRefusal,
  tookMs: number,
): Promise<void> {
  if (result.kind === "refused") {
    await failBuild(db, claim, { slug: result.slug, message: result.message, log: [] });
    return;
  }
  const { image, base, pushedBytes, timingsMs } = result;
  const message = `built ${image} in ${tookMs} ms, ${pushedBytes} bytes pushed`;
  const written = await finishBuild(
    db,
    claim,
    { repository: repositoryOf(claim), image, base },
    message,
  );
  log.info(written ? "built" : "built for nothing, the claim was lost", {
    release: claim.release,
    ...{ image, pushedBytes, timingsMs },
  });
}

/**
 * What broke was not the WAR: a later attempt may fare better, each after a longer rest, so that half
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
    await failBuild(db, claim, { slug: "build-failed", message, log: [] });
    return;
  }
  const restMs = backoffMs(tries - 1, REST);
  const message = `attempt ${tries} failed and will be repeated in ${restMs / 1_000} s: ${why}`;
  await releaseBuild(db, claim, { message, restMs, interrupted: false });
}

function repositoryOf({ project, spec }: BuildClaim): string {
  return `apps/${project}/${spec.name}`;
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
