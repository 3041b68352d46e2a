import { execFile, spawn } from "node:child_process";

export type Exec = {
  readonly stdout: string;
  readonly stderr: string;
};

export type ExecOptions = {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  readonly maxOutputBytes?: number;
};

/** The program ended with a code other than 0, was killed, or could not be started. */
export class ExecError extends Error {
  readonly exitCode: number | undefined;
  readonly stderr: string;
  constructor(program: string, exitCode: number | undefined, stderr: string, cause: unknown) {
    const ending = exitCode === undefined ? "did not end by itself" : `ended with code ${exitCode}`;
    super(`${program} ${ending}: ${lastLines(stderr, 5)}`, { cause });
    this.exitCode = exitCode;
    this.stderr = stderr;
  }
}

/**
 * Runs an absolute program with an argv array: never a shell, an environment of nothing but PATH
 * and what `env` names, and always a time limit.
 */
export function exec(
  program: string,
  argv: readonly string[],
  options: ExecOptions,
): Promise<Exec> {
  assertAbsolute(program);
  return new Promise((resolve, reject) => {
    execFile(
      program,
      [...argv],
      {
        env: { PATH, ...options.env },
        cwd: options.cwd ?? "/",
        timeout: options.timeoutMs,
        killSignal: "SIGKILL",
        maxBuffer: options.maxOutputBytes ?? 1024 * 1024,
        ...(options.signal && { signal: options.signal }),
      },
      (error, stdout, stderr) => {
        if (!error) return resolve({ stdout, stderr });
        const code = typeof error.code === "number" ? error.code : undefined;
        reject(new ExecError(program, code, stderr, error));
      },
    );
  });
}

/** Like `exec`, and hands every line of stdout and stderr to `onLine` as it comes. For long work that shows progress. */
export function execLines(
  program: string,
  argv: readonly string[],
  options: ExecOptions & { readonly onLine: (line: string) => void },
): Promise<void> {
  assertAbsolute(program);
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...argv], {
      env: { PATH, ...options.env },
      cwd: options.cwd ?? "/",
      timeout: options.timeoutMs,
      killSignal: "SIGKILL",
      stdio: ["ignore", "pipe", "pipe"],
      ...(options.signal && { signal: options.signal }),
    });
    const tail: string[] = [];
    for (const stream of [child.stdout, child.stderr]) {
      eachLine(stream, (line) => {
        tail.push(line);
        if (tail.length > 50) tail.shift();
        options.onLine(line);
      });
    }
    child.once("error", (error) =>
      reject(new ExecError(program, undefined, tail.join("\n"), error)),
    );
    child.once("close", (code) => {
      if (code === 0) resolve();
      else reject(new ExecError(program, code ?? undefined, tail.join("\n"), undefined));
    });
  });
}

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const MAX_LINE_CHARS = 4_000;

function assertAbsolute(program: string): void {
  if (!program.startsWith("/")) throw new Error(`"${program}" is not an absolute path`);
}

function eachLine(stream: NodeJS.ReadableStream, onLine: (line: string) => void): void {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n");
    rest = (lines.pop() ?? "").slice(0, MAX_LINE_CHARS);
    for (const line of lines) onLine(line);
  });
  stream.on("end", () => {
    if (rest !== "") onLine(rest);
  });
}

function lastLines(text: string, count: number): string {
  return text.trimEnd().split("\n").slice(-count).join(" | ");
}
