import type { PodId } from "../../contract/ids.ts";
import { type ExecSession, ExecWork } from "../../contract/node/exec.ts";
import { backoffMs } from "../../kit/backoff.ts";
import type { Log } from "../../kit/log.ts";
import { rest } from "../../kit/rest.ts";
import type { ApiClient } from "../api/client.ts";
import type { Places } from "../disk/places.ts";
import { readJson } from "../disk/read-json.ts";
import type { SeenSandbox } from "../observe.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { openLeftovers } from "./leftovers.ts";
import { ticksNow } from "./processes.ts";
import { runSession } from "./session.ts";
import { openExecWire } from "./wire.ts";

const WAIT_MS = 25_000;
const RETRY = { minMs: 500, maxMs: 10_000 };
const SHORTEST_TURN_MS = 20;
/** Each holds a connection to the runtime and some memory. */
const SESSIONS_AT_ONCE = 32;

type Deps = {
  readonly client: ApiClient;
  readonly runtime: Runtime;
  readonly places: Places;
  /** The id of the container of this name that runs in the pod now. */
  readonly running: (pod: PodId, container: string) => string | undefined;
  readonly signal: AbortSignal;
  readonly log: Log;
};

/** Asks the api for commands to run and runs them, until `signal` is aborted and all of them have ended. */
export async function followExecs(deps: Deps): Promise<void> {
  const { client, signal, log } = deps;
  const leftovers = openLeftovers(deps.places.execsDir);
  const running = new Set<Promise<void>>();
  await leftovers.end().catch((error: unknown) => log.error("old commands may go on", error));
  let failures = 0;
  while (!signal.aborted) {
    const askedAtMs = performance.now();
    const work = await ask(client, signal);
    if (signal.aborted) break;
    if (typeof work === "string") {
      await rest(backoffMs(failures, RETRY), signal);
      failures += 1;
      continue;
    }
    failures = 0;
    for (const session of work.sessions) {
      const ends = run(session).finally(() => running.delete(ends));
      running.add(ends);
    }
    await rest(SHORTEST_TURN_MS - (performance.now() - askedAtMs), signal);
  }
  await Promise.all(running);

  async function run(session: ExecSession): Promise<void> {
    try {
      const { pod, container, command } = session;
      const containerId = deps.running(pod, container);
      if (containerId === undefined) return await refuse(`${container} does not run here now`);
      if (running.size >= SESSIONS_AT_ONCE) return await refuse("too many commands run here now");
      const cgroup = `${deps.places.podCgroup(pod)}/${containerId}`;
      const started = { cgroup, command, startTicks: await ticksNow() };
      await leftovers.note(session.id, started);
      await runSession(deps, session, { containerId, started });
      await leftovers.forget(session.id);
    } catch (error) {
      if (!signal.aborted) log.error("a command broke", error, { session: session.id });
    }

    async function refuse(error: string): Promise<void> {
      const exit = { cause: "not-started", error } as const;
      await openExecWire(client, session.id).output({ first: 1, frames: [], exit }, signal);
    }
  }
}

/** The container of this name that ran in the pod when the host was last looked at. */
export function runningId(
  seen: readonly SeenSandbox[],
  pod: PodId,
  container: string,
): string | undefined {
  const sandboxes = seen.filter((it) => it.pod === pod && it.ready);
  const containers = sandboxes.flatMap((it) => it.containers);
  return containers.find((it) => it.name === container && it.state === "running")?.id;
}

async function ask(client: ApiClient, signal: AbortSignal): Promise<ExecWork | string> {
  const path = `/v1/node/execs?waitMs=${WAIT_MS}`;
  const answer = await client.ask({ method: "GET", path, waitMs: WAIT_MS }, signal);
  if (typeof answer === "string") return answer;
  if (answer.status !== 200) return `the api answered ${answer.status}`;
  const { value, problem } = readJson(ExecWork, answer.text);
  return value ?? `the answer ${problem}`;
}
