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
  return async () => {
    const strict = ["--quiet", "--single-transaction", "-v", "ON_ERROR_STOP=1"];
    await run("psql", ["--no-psqlrc", ...strict, "-f", file, pg.url], { env });
    await rm(folder, { recursive: true });
  };
}
