import { EXEC_CHANNEL, type ExecExit, MAX_EXEC_FRAME_BYTES } from "../../contract/node/exec.ts";
import { Problem } from "../../contract/problem.ts";

/* What a command wrote and how it ended, as an answer. */

const MAX_OUTPUT_BYTES = 1024 * 1024;

type Collected = { readonly stdout: string; readonly stderr: string; readonly cut: boolean };

/** Gathers both outputs, the first MiB of each; the rest is let go. */
export function openCollector() {
  const streams = { stdout: aStream(), stderr: aStream() };
  return {
    add: (frame: Uint8Array): void => {
      const channel = frame[0];
      if (channel === EXEC_CHANNEL.stdout) streams.stdout.add(frame.subarray(1));
      if (channel === EXEC_CHANNEL.stderr) streams.stderr.add(frame.subarray(1));
    },
    collected: (): Collected => ({
      stdout: streams.stdout.text(),
      stderr: streams.stderr.text(),
      cut: streams.stdout.isCut() || streams.stderr.isCut(),
    }),
  };
}

function aStream() {
  const decoder = new TextDecoder();
  let text = "";
  let left = MAX_OUTPUT_BYTES;
  let cut = false;
  return {
    add: (bytes: Uint8Array) => {
      const part = bytes.subarray(0, left);
      cut ||= part.length < bytes.length;
      left -= part.length;
      text += decoder.decode(part, { stream: true });
    },
    text: () => text,
    isCut: () => cut,
  };
}

/** Text as the frames of a command's input. */
export function inputFrames(text: string): readonly Uint8Array[] {
  const bytes = new TextEncoder().encode(text);
  const frames: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += MAX_EXEC_FRAME_BYTES - 1) {
    const part = bytes.subarray(at, at + MAX_EXEC_FRAME_BYTES - 1);
    frames.push(channelFrame(EXEC_CHANNEL.stdin, part));
  }
  return frames;
}

/** The last frame of a session, as Kubernetes' clients read it. */
export function statusFrame(exit: ExecExit): Uint8Array {
  return channelFrame(EXEC_CHANNEL.error, new TextEncoder().encode(JSON.stringify(status(exit))));
}

function channelFrame(channel: number, bytes: Uint8Array): Uint8Array {
  const frame = new Uint8Array(bytes.length + 1);
  frame[0] = channel;
  frame.set(bytes, 1);
  return frame;
}

function status(exit: ExecExit) {
  if ("error" in exit) {
    return { metadata: {}, status: "Failure", reason: "InternalError", message: exit.error };
  }
  if (exit.exitCode === 0) return { metadata: {}, status: "Success" };
  return {
    metadata: {},
    status: "Failure",
    reason: "NonZeroExitCode",
    message: `command terminated with exit code ${exit.exitCode}`,
    details: { causes: [{ reason: "ExitCode", message: String(exit.exitCode) }] },
  };
}

/** A command that has no exit code, with what it wrote until then. */
export function exitProblem(
  exit: Extract<ExecExit, { error: string }>,
  output: Pick<Collected, "stdout" | "stderr">,
): Problem {
  const slugs = {
    "not-started": "exec-not-started",
    timeout: "exec-timeout",
    "cut-off": "exec-cut-off",
  } as const;
  const { stdout, stderr } = output;
  return new Problem(slugs[exit.cause], exit.error, { extras: { stdout, stderr } });
}
