import { fileURLToPath } from "node:url";
import { sql } from "drizzle-orm";
import { migrate } from "drizzle-orm/postgres-js/migrator";
import { connect } from "./client.ts";

/** Any constant: two migrations at once wait for each other. */
const LOCK = 7_070_001;

/** Brings the database at `url` to this version's tables. Safe to run twice, and twice at once. */
export async function migrateDatabase(url: string): Promise<void> {
  const connection = connect(url, { max: 1, name: "migrate" });
  try {
    await connection.db.execute(sql`set statement_timeout = 0`);
    await connection.db.execute(sql`select pg_advisory_lock(${LOCK})`);
    await migrate(connection.db, {
      migrationsFolder: fileURLToPath(new URL("./migrations", import.meta.url)),
    });
  } finally {
    await connection.close();
  }
}
