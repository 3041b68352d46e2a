import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { FreshDb } from "./postgres.ts";

const run = promisify(execFile);

/** A backup, as `pg_dump` makes one: what is answered brings the database back to how it is now, in one moment. */
export async function backUp(pg: Pick<FreshDb, "url">): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), "waybill-backup-"));
  const file = join(folder, "backup.sql");
  const env = { PATH: "/usr/bin:/bin" };
  await run("pg_dump", ["--clean", "--if-exists", "-f", file, pg.url], { env });
  const strict = ["--quiet", "--single-transaction", "-v", "ON_ERROR_STOP=1"];
  const restore = () => run("psql", ["--no-psqlrc", ...strict, "-f", file, pg.url], { env });
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
