import { type ExecExit, MAX_EXEC_FRAME_BYTES } from "../../contract/node/exec.ts";
import type { ExecWire } from "./wire.ts";

/** What a command writes, on its way to the api; small pieces travel together. */
export type OutputPump = {
  push(channel: number, bytes: Buffer): void;
  /** Sends what is left, and how it ended. */
  finish(exit: ExecExit): Promise<void>;
};

/** More than this waits in the container's side of the connection. */
const MAX_WAITING_BYTES = 512 * 1024;
const FRAMES_AT_ONCE = 64;

/** `flow` stops and goes on with reading; `onOver` hears that nobody takes output any more. */
export function openOutputPump(
  wire: ExecWire,
  signal: AbortSignal,
  flow: { pause(): void; resume(): void; onOver(): void },
): OutputPump {
  const waiting: Buffer[] = [];
  let bytes = 0;
  let next = 1;
  let over = false;
  let sending: Promise<void> | undefined;

  async function sendAll(): Promise<void> {
    while (waiting.length > 0 && !over) {
      const part = waiting.slice(0, FRAMES_AT_ONCE);
      const frames = part.map((it) => it.toString("base64"));
      if ((await wire.output({ first: next, frames }, signal)) === "over") return stop();
      waiting.splice(0, part.length);
      next += part.length;
      for (const frame of part) bytes -= frame.length;
      if (bytes < MAX_WAITING_BYTES) flow.resume();
    }
    sending = undefined;
  }

  function stop(): void {
    over = true;
    waiting.length = 0;
    flow.resume();
    flow.onOver();
  }

  return {
    push(channel, written) {
      if (over) return;
      for (let at = 0; at < written.length; at += MAX_EXEC_FRAME_BYTES - 1) {
        const part = written.subarray(at, at + MAX_EXEC_FRAME_BYTES - 1);
        waiting.push(Buffer.concat([Buffer.of(channel), part]));
        bytes += part.length + 1;
      }
      if (bytes >= MAX_WAITING_BYTES) flow.pause();
      sending ??= sendAll();
    },
    async finish(exit) {
      await sending;
      await wire.output({ first: next, frames: [], exit }, signal);
    },
  };
}
