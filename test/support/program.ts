import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";

/** What is run: an absolute path, its arguments, and its whole environment. */
export type Command = {
  readonly program: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
};

/** A program of a test's own that may be started, ended and started again. */
export type TestProgram = AsyncDisposable & {
  /** With other arguments than usual where they are given. */
  start(argv?: readonly string[]): Promise<void>;
  /** Ends it, and waits until it is gone; one that is gone already is fine. */
  end(signal?: NodeJS.Signals): Promise<void>;
  /** The process of its last start. */
  child(): ChildProcess | undefined;
  isRunning(): boolean;
  /** What it has said, in all its lives. */
  log(): string;
};

export function aProgram({ program, argv: usual, env }: Command): TestProgram {
  let child: ChildProcess | undefined;
  let words = "";
  const running = () =>
    child && child.exitCode === null && child.signalCode === null ? child : undefined;
  const end = async (signal: NodeJS.Signals = "SIGKILL") => {
    const it = running();
    if (!it) return;
    const ended = once(it, "exit");
    it.kill(signal);
    await ended;
  };
  return {
    async start(argv = usual) {
      const started = spawn(program, [...argv], {
        env: { ...env },
        stdio: ["ignore", "pipe", "pipe"],
      });
      child = started;
      for (const stream of [started.stdout, started.stderr]) {
        stream.on("data", (chunk: Buffer) => {
          words += chunk.toString();
        });
      }
      await once(started, "spawn");
    },
    end,
    child: () => child,
    isRunning: () => running() !== undefined,
    log: () => words,
    [Symbol.asyncDispose]: () => end(),
  };
}
