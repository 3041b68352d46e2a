import postgres from "postgres";
import type { TestProject } from "vitest/node";
import { migrateDatabase } from "../../db/migrate.ts";
import { TEMPLATE } from "./postgres.ts";
import { startCluster } from "./postgres-cluster.ts";

/** One PostgreSQL for the whole run, and one migrated database in it that every test copies. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const cluster = await startCluster();
  try {
    const sql = postgres(`${cluster.url}/postgres`, { max: 1, onnotice: () => undefined });
    await sql.unsafe(`create database ${TEMPLATE}`);
    await sql.end({ timeout: 5 });
    await migrateDatabase(`${cluster.url}/${TEMPLATE}`);
    project.provide("postgresUrl", cluster.url);
  } catch (error) {
    await cluster[Symbol.asyncDispose]();
    throw error;
  }
  return async () => {
    await cluster[Symbol.asyncDispose]();
  };
}
