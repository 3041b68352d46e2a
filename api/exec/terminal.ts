import { EXEC_CHANNEL, MAX_EXEC_FRAME_BYTES } from "../../contract/node/exec.ts";
import { putInput } from "../../db/streams/execs.ts";
import { openListener } from "../http/listener.ts";
import type { KnownCall } from "../http/route.ts";
import type { Wire } from "../http/wire.ts";
import { statusFrame } from "./output.ts";
import { attendSession } from "./session.ts";

/** WebSocket's codes for an end: as agreed, and because the server goes away. */
const NORMAL = 1000;
const GOING_AWAY = 1001;
/** Where the agent does not take input, what was typed waits here, and then with the person. */
const RETRY_MS = 100;

/** The person's side of a session over a WebSocket, until the command or the connection ends. */
export async function serveTerminal(call: KnownCall, session: string, wire: Wire): Promise<void> {
  const { deps } = call;
  const over = new AbortController();
  const signal = AbortSignal.any([wire.closed, deps.stopping, over.signal]);
  const typing = forwardInput(call, session, wire, signal);
  const exit = await attendSession(deps, session, {
    signal: AbortSignal.any([wire.closed, deps.stopping]),
    onFrame: wire.send,
    mayGoOn: openListener(call).mayGoOn,
  }).finally(() => over.abort());
  await wire.send(statusFrame(exit));
  wire.close(deps.stopping.aborted ? GOING_AWAY : NORMAL, "");
  await typing;
}

/** Puts down what comes, several messages at once where they come faster than that takes. */
async function forwardInput(
  call: KnownCall,
  session: string,
  wire: Wire,
  signal: AbortSignal,
): Promise<void> {
  const waiting: Uint8Array[] = [];
  let next = 1;
  let putting: Promise<void> | undefined;

  async function putAll(): Promise<void> {
    while (waiting.length > 0 && !signal.aborted) {
      const frames = waiting.slice(0, 32);
      const taken = await putInput(call.deps.db, session, next, frames);
      if (!taken) {
        await pause(signal);
        continue;
      }
      waiting.splice(0, frames.length);
      next += frames.length;
    }
    putting = undefined;
  }

  for await (const message of wire.incoming) {
    if (signal.aborted) return;
    if (!isInput(message)) continue;
    waiting.push(message);
    putting ??= putAll();
    if (waiting.length > 32) await putting;
  }
}

function isInput(message: Uint8Array): boolean {
  const { stdin, resize, close } = EXEC_CHANNEL;
  const channel = message[0];
  if (message.length > MAX_EXEC_FRAME_BYTES) return false;
  return channel === stdin || channel === resize || (channel === close && message[1] === stdin);
}

function pause(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, RETRY_MS);
    signal.addEventListener("abort", end);
  });
}
