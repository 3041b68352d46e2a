import postgres from "postgres";
import type { TestProject } from "vitest/node";
import { migrateDatabase } from "../../db/migrate.ts";
import { TEMPLATE } from "./postgres.ts";
import { startCluster } from "./postgres-cluster.ts";
import { openRunFolder } from "./run-folder.ts";

/** One folder and one PostgreSQL for the whole run, and one migrated database in it that every test copies. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const stack = new AsyncDisposableStack();
  try {
    stack.use(await openRunFolder());
    const cluster = stack.use(await startCluster());
    const sql = postgres(`${cluster.url}/postgres`, { max: 1, onnotice: () => undefined });
    await sql.unsafe(`create database ${TEMPLATE}`);
    await sql.end({ timeout: 5 });
    await migrateDatabase(`${cluster.url}/${TEMPLATE}`);
    project.provide("postgresUrl", cluster.url);
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
  return () => stack.disposeAsync();
}
