import { drizzle, type PostgresJsDatabase } from "drizzle-orm/postgres-js";
import postgres from "postgres";
import * as schema from "./schema/core.ts";

export type Db = PostgresJsDatabase<typeof schema>;
/** A transaction, or the database itself where one statement is enough. */
export type Tx = Pick<
  Db,
  "select" | "selectDistinctOn" | "insert" | "update" | "delete" | "execute"
>;

export type Connection = {
  readonly db: Db;
  /** Calls `onNews` with the payload of each notification, coalesced by nobody; reconnects by itself. */
  listen(
    channel: string,
    onNews: (payload: string) => void,
    onReconnect: () => void,
  ): Promise<void>;
  close(): Promise<void>;
};

/** A pool of at most `max` connections. Statements are bounded by 30 s, and idle connections are given back. */
export function connect(url: string, options: { max: number; name: string }): Connection {
  const client = postgres(url, {
    max: options.max,
    idle_timeout: 60,
    connect_timeout: 5,
    backoff: (attempt) => Math.min(5, 0.1 * 2 ** attempt),
    connection: { application_name: `waybill-${options.name}`, statement_timeout: 30_000 },
    onnotice: () => undefined,
  });
  return {
    db: drizzle(client, { schema }),
    listen: async (channel, onNews, onReconnect) => {
      await client.listen(channel, onNews, onReconnect);
    },
    close: () => client.end({ timeout: 5 }),
  };
}
