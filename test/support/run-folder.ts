import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export type RunFolder = AsyncDisposable & { readonly path: string };

/**
 * One folder for all that this process and its children make: `tmpdir()` answers it from here on. A
 * guard removes it, and whatever was started in it, when this process is over, also by `kill -9`.
 */
export async function openRunFolder(): Promise<RunFolder> {
  process.env.WAYBILL_TEST_KEPT = keptFolder();
  const path = await mkdtemp(join(tmpdir(), "waybill-run-"));
  // PostgreSQL's own user must be able to walk it.
  await chmod(path, 0o755);
  const guard = spawn(process.execPath, [join(import.meta.dirname, "guard.ts"), path], {
    cwd: "/",
    detached: true,
    env: { PATH: process.env.PATH ?? "" },
    // Its input ends with us, however that comes about; it never answers.
    stdio: ["pipe", "ignore", "ignore"],
  });
  await once(guard, "spawn");
  process.env.TMPDIR = path;
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      const ended = once(guard, "exit");
      guard.stdin.end();
      const [code] = await ended;
      if (code !== 0) process.stderr.write(`The guard could not remove all of ${path}\n`);
    },
  };
}

/** Where that lies which later runs use again. */
export function keptFolder(): string {
  return process.env.WAYBILL_TEST_KEPT ?? tmpdir();
}
