import { ExecError, exec, execLines } from "../kit/exec.ts";
import type { Assembly } from "./assemble.ts";
import { listIfThere } from "./files.ts";
import { makeFolder } from "./furnish.ts";
import type { Part } from "./part.ts";
import type { PostgresOptions } from "./parts/postgres.ts";
import { endForgottenServer, ensureCluster, ensureDatabase } from "./parts/postgres-cluster.ts";
import { databaseProgram, type Wiring } from "./parts/programs.ts";
import type { Places } from "./places.ts";
import { type Say, showing } from "./progress.ts";
import { readRecord } from "./records.ts";
import { ensureSecretsKey } from "./secrets-key.ts";
import { bringUp, type Running, StartError, untilReady } from "./supervise.ts";
import type { Fleet } from "./watch.ts";

export type Startup = {
  readonly places: Places;
  /** Gets each part as soon as its process exists, so that a failed start can be undone. */
  readonly fleet: Fleet;
  readonly say: Say;
  readonly signal: AbortSignal;
  /** Where PostgreSQL is among the parts: how its cluster is made. */
  readonly postgres?: PostgresOptions | undefined;
};

const PART_WORDS = {
  going: "starting",
  done: ({ adopted }: Running) => (adopted ? "taken over" : "ready"),
};
const DATABASE_WORDS = { going: "preparing", done: () => "prepared" };

/** Starts every part in its order and waits until each answers; throws when one does not. */
export async function startAll(assembly: Assembly, start: Startup): Promise<void> {
  const startup = { ...start, postgres: assembly.postgres };
  const { places, say } = startup;
  const { front, api, worker, nodeAgent } = assembly;
  await Promise.all([
    together(startup, assembly.foundation),
    warmUp(startup, [nodeAgent, api, worker]),
  ]);
  await makeFolder({ path: places.agentDir, mode: "0700" });
  const prepare = () => prepareDatabase(assembly.wiring, startup.signal);
  await showing(say, "database", prepare, DATABASE_WORDS);
  await ensureSecretsKey(places.secretsKey);
  await together(startup, [front, api, worker]);
  await together(startup, [nodeAgent]);
}

/** Starts several at once. One that fails ends the waiting for the others; all have settled after. */
export async function together(startup: Startup, parts: readonly Part[]): Promise<void> {
  const failed = new AbortController();
  const signal = AbortSignal.any([startup.signal, failed.signal]);
  const causes: unknown[] = [];
  await Promise.all(
    parts.map((part) =>
      startOne({ ...startup, signal }, part).catch((error: unknown) => {
        causes.push(error);
        failed.abort();
      }),
    ),
  );
  startup.signal.throwIfAborted();
  if (causes.length > 0) throw causes[0];
}

function startOne(startup: Startup, part: Part): Promise<Running> {
  const { places, fleet, say, signal } = startup;
  const postgres = part.name === "postgres" ? startup.postgres : undefined;
  const work = async () => {
    if (postgres) {
      await endForgottenServer(postgres.home, await readRecord(places.recordsDir, part.name));
      await ensureCluster(postgres);
    }
    signal.throwIfAborted();
    const running = await bringUp(part, places);
    fleet.set(part.name, running);
    await untilReady(running, signal);
    if (postgres) await ensureDatabase(postgres);
    return running;
  };
  return showing(say, part.name, work, PART_WORDS);
}

/**
 * Fills the cache of compiled code before the first start: each program is told nothing, so it
 * loads its code, with the flags that it will run with, and refuses.
 */
export async function warmUp(
  { places, signal, say }: Startup,
  programs: readonly Part[],
): Promise<void> {
  if ((await listIfThere(places.cacheDir)) !== undefined) return;
  await makeFolder({ path: places.cacheDir, mode: "0700" });
  const env = { NODE_COMPILE_CACHE: places.cacheDir };
  const warmOne = ({ program, argv }: Part) =>
    exec(program, argv, { env, timeoutMs: 30_000, signal }).catch((error: unknown) => {
      if (!(error instanceof ExecError)) throw error;
    });
  const work = async () => {
    for (const part of programs) await warmOne(part);
  };
  await showing(say, "programs", work, { going: "compiling", done: () => "compiled" });
}

async function prepareDatabase(wiring: Wiring, signal: AbortSignal): Promise<void> {
  const { program, argv, env } = databaseProgram(wiring);
  const lines: string[] = [];
  const onLine = (line: string) => lines.push(line);
  try {
    await execLines(program, argv, { env, timeoutMs: 300_000, signal, onLine });
  } catch (error) {
    if (!(error instanceof ExecError)) throw error;
    const said = lines.slice(-8).map((line) => `    ${line.slice(0, 1_000)}`);
    throw new StartError(`The database could not be prepared:\n${said.join("\n")}`, {
      cause: error,
    });
  }
}
