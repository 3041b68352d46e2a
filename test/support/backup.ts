import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { FreshDb } from "./postgres.ts";

const run = promisify(execFile);

/**
 * A backup, by the words of docs/backup.md: what is answered brings the database back to how it is now, in one
 * moment.
 */
export async function backUp(pg: Pick<FreshDb, "url">): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), "waybill-backup-"));
  const file = join(folder, "backup.sql");
  const env = { PATH: "/usr/bin:/bin" };
  await run("pg_dump", ["--schema=public", "--schema=drizzle", "-f", file, pg.url], { env });
  const strict = ["--quiet", "--single-transaction", "-v", "ON_ERROR_STOP=1"];
  const drop = ["-c", "DROP SCHEMA IF EXISTS public, drizzle CASCADE"];
  const words = ["--no-psqlrc", ...strict, ...drop, "-f", file, pg.url];
  const restore = () => run("psql", words, { env });
  return async () => {
    await untilNotGivenWay(restore);
    await rm(folder, { recursive: true });
  };
}

/**
 * The api reads on in a test while every table is replaced, so that one of the two may have to give way; a
 * restore that did has changed nothing, and is done again.
 */
async function untilNotGivenWay(restore: () => Promise<unknown>): Promise<void> {
  for (let left = 10; ; left--) {
    try {
      await restore();
      return;
    } catch (error) {
      if (left === 0 || !String(error).includes("deadlock detected")) throw error;
    }
  }
}
