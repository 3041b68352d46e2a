import { EXEC_CHANNEL, type ExecExit, MAX_EXEC_FRAME_BYTES } from "../../contract/node/exec.ts";
import { Problem } from "../../contract/problem.ts";
import type { Db } from "../../db/client.ts";
import { putInput } from "../../db/streams/execs.ts";
import type { ApiDeps } from "../deps.ts";
import { toProblem } from "../http/problems.ts";
import type { Wire } from "../http/wire.ts";
import { statusFrame } from "./output.ts";
import { attendSession, cutOff, TOKEN_ENDED } from "./session.ts";

/** WebSocket's codes for an end: as agreed, because the server goes away, and because it broke. */
const NORMAL = 1000;
const GOING_AWAY = 1001;
const BROKEN = 1011;
/** Where the agent does not take input, what was typed waits here, and then with the person. */
const RETRY_MS = 100;
/** A terminal in which nothing is typed or shown for so long was forgotten. */
const IDLE_MINUTES = 30;

type Deps = Pick<ApiDeps, "db" | "changes" | "stopping">;
type TerminalOptions = {
  /** Opens the session and answers its id. */
  readonly begin: () => Promise<string>;
  readonly mayGoOn: () => Promise<boolean>;
  readonly idleMs?: number;
};

/**
 * The person's side of a session over a WebSocket, until the command or the connection ends. Where
 * it breaks the person is told so; what broke is thrown.
 */
export async function serveTerminal(
  deps: Deps,
  wire: Wire,
  options: TerminalOptions,
): Promise<void> {
  try {
    const exit = await attend(deps, wire, options);
    say(wire, exit);
    wire.close(deps.stopping.aborted ? GOING_AWAY : NORMAL, "");
  } catch (error) {
    say(wire, cutOff(toProblem(error).message));
    wire.close(BROKEN, "");
    if (!(error instanceof Problem)) throw error;
  }
}

/** The last word. It is not waited for: who takes nothing would hold up the end. */
function say(wire: Wire, exit: ExecExit): void {
  void wire.send(statusFrame(exit));
}

async function attend(
  deps: Deps,
  wire: Wire,
  { begin, mayGoOn, idleMs = IDLE_MINUTES * 60_000 }: TerminalOptions,
): Promise<ExecExit> {
  const session = await begin();
  const over = new AbortController();
  const signal = AbortSignal.any([wire.closed, deps.stopping, over.signal]);
  let usedAtMs = Date.now();
  const use = () => {
    usedAtMs = Date.now();
  };
  const showing = attendSession(deps, session, {
    signal,
    onFrame: async (frame) => {
      await wire.send(frame);
      use();
    },
    endsBecause: async () => {
      if (Date.now() - usedAtMs > idleMs) {
        return `nothing was typed or shown for ${IDLE_MINUTES} minutes`;
      }
      return (await mayGoOn()) ? undefined : TOKEN_ENDED;
    },
  });
  const typing = forwardInput(deps.db, session, { incoming: wire.incoming, use, signal });
  // Whichever ends first ends the other.
  const end = () => over.abort();
  const [exit] = await Promise.all([showing.finally(end), typing.finally(end)]);
  return exit;
}

/** Puts down what comes, several messages at once where they come faster than that takes. */
async function forwardInput(
  db: Db,
  session: string,
  from: {
    readonly incoming: Wire["incoming"];
    readonly use: () => void;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { incoming, use, signal } = from;
  const waiting: Uint8Array[] = [];
  let next = 1;
  let putting: Promise<void> | undefined;
  const failing = Promise.withResolvers<never>();

  async function putAll(): Promise<void> {
    while (waiting.length > 0 && !signal.aborted) {
      const frames = waiting.slice(0, 32);
      const taken = await putInput(db, session, next, frames);
      if (!taken) {
        await aborted(signal, RETRY_MS);
        continue;
      }
      waiting.splice(0, frames.length);
      next += frames.length;
    }
    putting = undefined;
  }

  async function readAll(): Promise<void> {
    for await (const message of incoming) {
      if (signal.aborted) return;
      use();
      if (!isInput(message)) continue;
      waiting.push(message);
      putting ??= putAll().catch(failing.reject);
      if (waiting.length > 32) await putting;
    }
  }

  await Promise.race([readAll(), failing.promise, aborted(signal)]);
}

function isInput(message: Uint8Array): boolean {
  const { stdin, resize, close } = EXEC_CHANNEL;
  const channel = message[0];
  if (message.length > MAX_EXEC_FRAME_BYTES) return false;
  return channel === stdin || channel === resize || (channel === close && message[1] === stdin);
}

/** Resolves when `signal` is aborted, or after `ms`. */
function aborted(signal: AbortSignal, ms?: number): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = ms === undefined ? undefined : setTimeout(end, ms);
    signal.addEventListener("abort", end);
  });
}
