import { drizzle, type PostgresJsDatabase } from "drizzle-orm/postgres-js";
import postgres from "postgres";
import { gaveWay } from "./errors.ts";
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

/** How often a transaction is tried that PostgreSQL ends for the sake of another one. */
const MAX_TRIES = 3;

/**
 * A pool of at most `max` connections. Statements are bounded by 30 s, and idle connections are given
 * back. What is done in a transaction may be done again from its start, where it gave way to another.
 */
export function connect(url: string, options: { max: number; name: string }): Connection {
  const client = postgres(url, {
    max: options.max,
    idle_timeout: 60,
    connect_timeout: 5,
    backoff: (attempt) => Math.min(5, 0.1 * 2 ** attempt),
    connection: {
      application_name: `waybill-${options.name}`,
      statement_timeout: 30_000,
      // What PostgreSQL cannot estimate (how much is in a document) it takes for much, and compiling
      // a statement then takes a second where running it takes milliseconds.
      jit: "off",
    },
    onnotice: () => undefined,
  });
  return {
    db: insistent(drizzle(client, { schema })),
    listen: async (channel, onNews, onReconnect) => {
      await client.listen(channel, onNews, onReconnect);
    },
    close: () => client.end({ timeout: 5 }),
  };
}

function insistent(db: Db): Db {
  const once: Db["transaction"] = db.transaction.bind(db);
  db.transaction = async (work, config) => {
    for (let tries = 1; ; tries++) {
      try {
        return await once(work, config);
      } catch (error) {
        if (tries >= MAX_TRIES || !gaveWay(error)) throw error;
      }
    }
  };
  return db;
}
