import { realpath } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { apiUrl, type Settings } from "./env.ts";
import { lookUpFacts, wantedBy } from "./facts.ts";
import { unlessAbsent } from "./files.ts";
import { keepJoinable, renewJoinToken } from "./join-token.ts";
import { takeLock } from "./lock.ts";
import type { PartName } from "./part.ts";
import type { Places } from "./places.ts";
import { problemsOf, rightsProblem } from "./preflight.ts";
import { type Say, showing } from "./progress.ts";
import { dropRecord, recordSelf, STANDALONE } from "./records.ts";
import { settle } from "./settle.ts";
import { startAll } from "./start.ts";
import { CONTROL_PLANE, closeDoors, NODE_SIDE, stopParts } from "./stop.ts";
import { describe } from "./supervise.ts";
import { type Fleet, watch } from "./watch.ts";
import { welcome } from "./welcome.ts";

export type Run = {
  readonly settings: Settings;
  /** The folder of the checkout. */
  readonly root: string;
  readonly say: Say;
  /** Aborted when the operator wants an end. */
  readonly signal: AbortSignal;
};

/** `npm start`, from the checks to the orderly end. Comes back with the exit code. */
export async function runStandalone(run: Run): Promise<number> {
  const noRights = rightsProblem(process.getuid?.() ?? 0);
  if (noRights !== undefined) {
    run.say(noRights);
    return 1;
  }
  const dataDir = await unlessAbsent(realpath(run.settings.dataDir));
  const settings = { ...run.settings, dataDir: dataDir ?? run.settings.dataDir };
  const lock = await takeLock(settings.dataDir);
  try {
    const problems = problemsOf(await lookUpFacts(wantedBy(settings), lock !== undefined));
    for (const problem of problems) run.say(problem);
    if (problems.length > 0) return 1;
    return await startAndWatch({ ...run, settings });
  } catch (error) {
    run.say(describe(error));
    return 1;
  } finally {
    await lock?.release();
  }
}

async function startAndWatch(run: Run): Promise<number> {
  const { settings, root, say, signal } = run;
  say(`Waybill starts, with its data in ${settings.dataDir}`);
  const { places, assembly } = await settle(settings, root);
  await recordSelf(places.recordsDir);
  const fleet: Fleet = new Map();
  try {
    await startAll(assembly, { places, fleet, say, signal });
  } catch (error) {
    if (!signal.aborted) say(describe(error));
    say("Stopping what was started…");
    // What served apps before this start goes on doing so.
    const ours = NODE_SIDE.filter((name) => fleet.get(name)?.adopted === false);
    await stopParts(fleet, [...ours, ...CONTROL_PLANE], places, say);
    await leave(places);
    return signal.aborted ? 0 : 1;
  }
  const renew = () => renewJoinToken(assembly.wiring, signal);
  const beforeStart = async (name: PartName) => {
    if (name === "node-agent") await renew();
  };
  const watching = watch(fleet, places, say, signal, { beforeStart });
  await waitUntilReady(run);
  if (!signal.aborted) say(welcome(settings, places, root));
  const isReady = async () => (await readiness(settings)) === "ready";
  const onError = (error: unknown) => say(error instanceof Error ? error.message : String(error));
  await Promise.all([watching, keepJoinable({ isReady, renew, signal, onError }).done]);
  say("Stopping the control plane…");
  await stopParts(fleet, CONTROL_PLANE, places, say);
  await leave(places);
  say("Apps go on serving. `npm start` takes over again; `npm run down` stops everything.");
  return 0;
}

const READY_WITHIN_MS = 180_000;

/** Waits until an app could be deployed, and says what is still missing where that takes too long. */
async function waitUntilReady({ settings, say, signal }: Run): Promise<void> {
  const untilMs = Date.now() + READY_WITHIN_MS;
  let last = "no answer";
  const work = async () => {
    while (!signal.aborted && Date.now() < untilMs) {
      const answer = await readiness(settings);
      if (answer === "ready") return true;
      last = answer;
      await sleep(200, undefined, { signal }).catch(() => undefined);
    }
    return false;
  };
  const ready = await showing(say, "everything", work, {
    going: "settling",
    done: (yes) => (yes ? "ready" : "not ready"),
  });
  if (!ready && !signal.aborted) say(`No app can be deployed yet: ${last}`);
}

async function readiness(settings: Settings): Promise<string> {
  try {
    const response = await fetch(`${apiUrl(settings)}/readyz`, {
      signal: AbortSignal.timeout(5_000),
    });
    const body = await response.text();
    return response.ok ? "ready" : body.slice(0, 1_000);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function leave(places: Places): Promise<void> {
  await closeDoors(places);
  await dropRecord(places.recordsDir, STANDALONE);
}
