import { randomBytes } from "node:crypto";
import postgres from "postgres";
import { inject } from "vitest";
import { type Connection, connect } from "../../db/client.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** The run's own cluster, without a database name at the end. */
    postgresUrl: string;
  }
}

export const TEMPLATE = "waybill_template";

export type FreshDb = Connection & AsyncDisposable & { readonly url: string };

/** A database of this test's own, with every table and no row, gone at the end of the block. About 30 ms. */
export async function freshDb(options: { max?: number } = {}): Promise<FreshDb> {
  const server = inject("postgresUrl");
  const name = `test_${randomBytes(6).toString("hex")}`;
  await asAdmin(server, `create database ${name} template ${TEMPLATE}`);
  const url = `${server}/${name}`;
  const connection = connect(url, { max: options.max ?? 5, name: "test" });
  return {
    ...connection,
    url,
    [Symbol.asyncDispose]: async () => {
      await connection.close();
      await asAdmin(server, `drop database if exists ${name} with (force)`);
    },
  };
}

async function asAdmin(server: string, statement: string): Promise<void> {
  const sql = postgres(`${server}/postgres`, { max: 1, onnotice: () => undefined });
  try {
    await sql.unsafe(statement);
  } finally {
    await sql.end({ timeout: 5 });
  }
}
