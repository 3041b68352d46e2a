import { z } from "zod";
import { DnsLabel, PodId } from "../ids.ts";

/*
 * A command in a running container, asked for by a person and carried out by the pod's agent, which
 * always does the asking:
 *   GET  /v1/node/execs?waitMs=                Bearer = node token  -> ExecWork; each session comes once
 *   GET  /v1/node/execs/{id}/input?after=&waitMs=                   -> ExecInput, frames above `after`
 *   POST /v1/node/execs/{id}/output            ExecOutput           -> 204; 202: not taken, since the
 *                                                                      person does not keep up: again
 * The last two answer 410 when nobody listens any more: then the command is to be killed. An agent
 * that does not ask for input for a while counts as dead, and its sessions as over.
 *
 * Frames are those of Kubernetes' channel protocol, as a person's WebSocket speaks it too: the first
 * byte is the channel. A frame of v5 closes a channel: 255, then the channel.
 */
export const EXEC_SUBPROTOCOLS = ["v5.channel.k8s.io", "v4.channel.k8s.io"] as const;
export const EXEC_CHANNEL = {
  stdin: 0,
  stdout: 1,
  stderr: 2,
  error: 3,
  resize: 4,
  close: 255,
} as const;
export const MAX_EXEC_FRAME_BYTES = 64 * 1024;
export const MAX_EXEC_COMMAND_BYTES = 128 * 1024;
/** How long one question for input may stay open; it is the agent's sign of life as well. */
export const MAX_EXEC_INPUT_WAIT_MS = 5_000;

export const ExecSession = z.strictObject({
  id: z.uuid(),
  pod: PodId,
  container: DnsLabel,
  command: z.array(z.string()).min(1),
  tty: z.boolean(),
  stdin: z.boolean(),
  /** After so long without an end the command is killed. */
  timeoutSeconds: z.int().min(1),
});
export type ExecSession = z.infer<typeof ExecSession>;

export const ExecWork = z.strictObject({ sessions: z.array(ExecSession) });
export type ExecWork = z.infer<typeof ExecWork>;

/** Frames from the person, base64, in order; `ended` when no more will come. */
export const ExecInput = z.strictObject({
  frames: z.array(z.strictObject({ seq: z.int().min(0), frame: z.base64() })),
  ended: z.boolean(),
});
export type ExecInput = z.infer<typeof ExecInput>;

/** Frames to the person, `first` being the number of the first one; with the exit the session is over. */
export const ExecOutput = z.object({
  first: z.int().min(0).max(2_000_000_000),
  frames: z.array(z.base64()).max(1_000),
  exit: z
    .union([
      z.object({ exitCode: z.int() }),
      /** It has no exit code: never started, killed when its time was up, or cut off; why, in words. */
      z.object({
        cause: z.enum(["not-started", "timeout", "cut-off"]),
        error: z.string().max(2_000),
      }),
    ])
    .optional(),
});
export type ExecOutput = z.infer<typeof ExecOutput>;
export type ExecExit = NonNullable<ExecOutput["exit"]>;
