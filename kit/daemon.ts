import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";

export type Daemon = {
  readonly pid: number;
  /** How it ended, in words; resolves only while this process lives. */
  readonly ended: Promise<string>;
};

/**
 * Starts an absolute program in a session of its own, so that neither a Ctrl-C on our terminal nor
 * our own end reaches it. Output is appended to `logFile`; the environment is exactly `env`.
 * Rejects when the program cannot be started at all.
 */
export function startDaemon(
  program: string,
  argv: readonly string[],
  options: { readonly env: Readonly<Record<string, string>>; readonly logFile: string },
): Promise<Daemon> {
  if (!program.startsWith("/")) throw new Error(`"${program}" is not an absolute path`);
  const log = openSync(options.logFile, "a", 0o600);
  const child = spawn(program, [...argv], {
    env: { ...options.env },
    cwd: "/",
    detached: true,
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  child.unref();
  const ended = new Promise<string>((resolve) => {
    child.once("exit", (code, signal) =>
      resolve(signal === null ? `ended with code ${code}` : `was ended by ${signal}`),
    );
  });
  return new Promise((resolve, reject) => {
    child.once("error", (cause) => reject(new Error(`${program} cannot be started`, { cause })));
    child.once("spawn", () => {
      if (child.pid !== undefined) resolve({ pid: child.pid, ended });
    });
  });
}
