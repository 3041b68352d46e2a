import { readEnv } from "../kit/env.ts";
import { openLog } from "../kit/log.ts";
import { ensureAdminToken, writeJoinToken } from "./access/first-tokens.ts";
import { ensureProject } from "./access/projects.ts";
import { connect } from "./client.ts";
import { DbEnv } from "./env.ts";
import { migrateDatabase } from "./migrate.ts";

/*
 * A process that ends: tables, the first project, the administrator's token, and a join token for
 * this machine's node. Every step is safe to repeat, so it runs at each start.
 */

const log = openLog("db");

async function main(): Promise<void> {
  const env = readEnv(DbEnv);
  await migrateDatabase(env.DATABASE_URL);
  const connection = connect(env.DATABASE_URL, { max: 1, name: "setup" });
  try {
    const project = await ensureProject(connection.db, "default");
    await ensureAdminToken(connection.db, project, env.WAYBILL_ADMIN_TOKEN_FILE);
    if (env.WAYBILL_JOIN_TOKEN_FILE !== undefined) {
      const { WAYBILL_NODE_NAME: node, WAYBILL_JOIN_TOKEN_FILE: path } = env;
      await writeJoinToken(connection.db, project, node, path);
    }
  } finally {
    await connection.close();
  }
  log.info("database ready");
}

try {
  await main();
} catch (error) {
  log.error("preparing the database failed", error);
  process.exitCode = 1;
}
