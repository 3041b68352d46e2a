import { EXEC_CHANNEL, type ExecExit } from "../../contract/node/exec.ts";
import { cut, innermost } from "../report/words.ts";
import { openSpdy } from "./spdy.ts";

/** A command under way in a container, at the runtime's streaming server. */
export type Remote = {
  /** Resolves when the container's side has taken it. */
  input(bytes: Uint8Array): Promise<void>;
  endInput(): Promise<void>;
  /** `{"Width":…,"Height":…}`; only a terminal has a size. */
  resize(size: Uint8Array): Promise<void>;
  pause(): void;
  resume(): void;
  destroy(): void;
  /** How it ended, after all of its output. */
  readonly ended: Promise<ExecExit>;
};

type Options = { readonly tty: boolean; readonly stdin: boolean };
type OnOutput = (channel: number, bytes: Buffer) => void;

const MAX_STATUS_BYTES = 64 * 1024;
/** Source: the exec protocol's bound. */
export const ERROR_CHARS = 2_000;

/** Redeems the runtime's URL: from here on the command runs. */
export async function openRemote(
  url: string,
  { tty, stdin }: Options,
  onOutput: OnOutput,
): Promise<Remote> {
  const channels = new Map<number, number>();
  const open = new Set<number>();
  let status = Buffer.alloc(0);
  const over = Promise.withResolvers<void>();
  const spdy = await openSpdy(
    url,
    { "x-stream-protocol-version": "v4.channel.k8s.io" },
    (stream, bytes, last) => {
      const channel = channels.get(stream);
      if (channel === EXEC_CHANNEL.error) {
        status = Buffer.concat([status, bytes]).subarray(0, MAX_STATUS_BYTES);
      } else if (channel !== undefined && bytes.length > 0) onOutput(channel, bytes);
      if (!last) return;
      open.delete(stream);
      if (open.size === 0) over.resolve();
    },
  );

  async function stream(type: "error" | "stdin" | "stdout" | "stderr" | "resize") {
    const number = await spdy.open({ streamtype: type });
    channels.set(number, EXEC_CHANNEL[type]);
    if (type !== "stdin" && type !== "resize") open.add(number);
    return number;
  }

  await stream("error");
  const input = stdin ? await stream("stdin") : undefined;
  await stream("stdout");
  if (!tty) await stream("stderr");
  const size = tty ? await stream("resize") : undefined;
  const ended = Promise.race([over.promise, spdy.closed]).then(() => {
    spdy.destroy();
    return exitOf(status.toString("utf8"));
  });
  return {
    input: async (bytes) => {
      if (input !== undefined) await spdy.write(input, bytes);
    },
    endInput: async () => {
      if (input !== undefined) await spdy.write(input, new Uint8Array(), true);
    },
    resize: async (bytes) => {
      if (size !== undefined) await spdy.write(size, bytes);
    },
    pause: spdy.pause,
    resume: spdy.resume,
    destroy: spdy.destroy,
    ended,
  };
}

type Status = {
  readonly status?: string;
  readonly message?: string;
  readonly reason?: string;
  readonly details?: { readonly causes?: readonly { reason?: string; message?: string }[] };
};

/** What Kubernetes' Status says of an end. Pure. */
function exitOf(text: string): ExecExit {
  if (text === "") return { cause: "cut-off", error: "the runtime closed the connection" };
  const said = parsed(text);
  if (said.status === "Success") return { exitCode: 0 };
  const code = said.details?.causes?.find((it) => it.reason === "ExitCode")?.message;
  if (said.reason === "NonZeroExitCode" && code !== undefined && /^-?\d{1,9}$/.test(code)) {
    return { exitCode: Number(code) };
  }
  return { cause: "not-started", error: cut(innermost(said.message ?? text), ERROR_CHARS) };
}

function parsed(text: string): Status {
  try {
    return JSON.parse(text) as Status;
  } catch (error) {
    if (error instanceof SyntaxError) return { message: text };
    throw error;
  }
}
