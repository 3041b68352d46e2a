import { setTimeout as sleep } from "node:timers/promises";
import { EXEC_CHANNEL, type ExecExit, type ExecSession } from "../../contract/node/exec.ts";
import { rest } from "../../kit/rest.ts";
import type { ApiClient } from "../api/client.ts";
import { cut } from "../report/words.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { openOutputPump } from "./output.ts";
import { findLeader, killSession, type Leader, type Started } from "./processes.ts";
import { ERROR_CHARS, openRemote, type Remote } from "./remote.ts";
import { type ExecWire, openExecWire } from "./wire.ts";

/** Between the connection and the moment that the command is in its container. */
const LOOK_FOR_IT_MS = 100;
/** A killed command closes its streams; a runtime that does not notice is left. */
const CLOSE_WITHIN_MS = 2_000;
/** So often the api hears of a command whose input is all there. */
const SIGN_OF_LIFE_MS = 1_000;

type Deps = {
  readonly runtime: Pick<Runtime, "execUrl">;
  readonly client: ApiClient;
  /** Aborted when the agent ends: then the command ends as well. */
  readonly signal: AbortSignal;
};

/** Runs one command from its start to the end, and tells the api all of it. */
export async function runSession(
  deps: Deps,
  session: ExecSession,
  place: { readonly containerId: string; readonly started: Started },
): Promise<void> {
  const wire = openExecWire(deps.client, session.id);
  const { command, tty, stdin } = session;
  let remote: Remote | undefined;
  const ending = new AbortController();
  const end = (why: ExecExit) => ending.abort(why);
  const pump = openOutputPump(wire, deps.signal, {
    pause: () => remote?.pause(),
    resume: () => remote?.resume(),
    onOver: () => end(cutOff("nobody waits for it any more")),
  });
  try {
    const url = await deps.runtime.execUrl(place.containerId, { command, tty, stdin });
    remote = await openRemote(url, { tty, stdin }, pump.push);
  } catch (error) {
    return await pump.finish({ cause: "not-started", error: wordsOf(error) });
  }
  const exit = await untilOver(deps, session, { remote, wire, place, ending });
  await pump.finish(exit);
}

type UnderWay = {
  readonly remote: Remote;
  readonly wire: ExecWire;
  readonly place: { readonly started: Started };
  /** Aborted with an exit: the command is to end so. */
  readonly ending: AbortController;
};

/** How the command ended by itself, or was ended. */
async function untilOver(deps: Deps, session: ExecSession, parts: UnderWay): Promise<ExecExit> {
  const { remote, wire, place, ending } = parts;
  const timer = setTimeout(() => ending.abort(timedOut(session)), session.timeoutSeconds * 1_000);
  const onStop = () => ending.abort(cutOff("the node's agent was stopped"));
  deps.signal.addEventListener("abort", onStop);
  if (deps.signal.aborted) onStop();
  // Where that fails, whoever has to kill it looks again.
  const leader = lookFor(place.started, ending.signal).catch(() => undefined);
  forwardInput(wire, remote, ending.signal).then(
    (outcome) => {
      if (outcome === "over") ending.abort(cutOff("nobody waits for it any more"));
    },
    (error: unknown) => ending.abort(cutOff(wordsOf(error))),
  );
  const exit = await Promise.race([remote.ended, aborted(ending.signal)]);
  clearTimeout(timer);
  // The agent's own signal outlives all its sessions, and must hold on to none of them.
  deps.signal.removeEventListener("abort", onStop);
  if (exit !== undefined) {
    ending.abort(exit);
    return exit;
  }
  await kill(place.started, await leader);
  await Promise.race([remote.ended, sleep(CLOSE_WITHIN_MS)]);
  remote.destroy();
  return ending.signal.reason as ExecExit;
}

/** Resolves, with nothing, once the signal is aborted. */
function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    signal.addEventListener("abort", () => resolve(undefined), { once: true });
  });
}

/** Which process the command is, soon after it started: later it may have become another program. */
async function lookFor(started: Started, signal: AbortSignal): Promise<Leader | undefined> {
  await rest(LOOK_FOR_IT_MS, signal);
  return await findLeader(started);
}

async function kill(started: Started, known: Leader | undefined): Promise<void> {
  const leader = known ?? (await findLeader(started));
  if (leader) await killSession(started.cgroup, leader);
}

/** Takes what the person sends to the command, each frame once, until there is no more. */
async function forwardInput(
  wire: ExecWire,
  remote: Remote,
  signal: AbortSignal,
): Promise<"over" | "ended"> {
  let after = 0;
  let open = true;
  while (!signal.aborted) {
    const input = await wire.input(after, signal);
    if (signal.aborted) return "ended";
    if (input === "over") return "over";
    for (const { seq, frame } of input.frames) {
      const bytes = Buffer.from(frame, "base64");
      if (bytes[0] === EXEC_CHANNEL.stdin) await remote.input(bytes.subarray(1));
      if (bytes[0] === EXEC_CHANNEL.resize) await remote.resize(bytes.subarray(1));
      if (bytes[0] === EXEC_CHANNEL.close) await remote.endInput();
      after = Math.max(after, seq);
    }
    if (input.ended && open) {
      open = false;
      await remote.endInput();
    }
    // All input there will ever be is there: the question only shows that we live.
    if (input.ended) await rest(SIGN_OF_LIFE_MS, signal);
  }
  return "ended";
}

function timedOut({ timeoutSeconds }: ExecSession): ExecExit {
  const error = `The command was not over after ${timeoutSeconds} s, and was killed.`;
  return { cause: "timeout", error };
}

function cutOff(error: string): ExecExit {
  return { cause: "cut-off", error };
}

function wordsOf(error: unknown): string {
  const messages: string[] = [];
  for (let it = error; it instanceof Error && messages.length < 3; it = it.cause) {
    messages.push(it.message);
  }
  return cut(messages.join(": "), ERROR_CHARS);
}
