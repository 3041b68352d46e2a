import { sql } from "drizzle-orm";
import type { Db, Tx } from "../../db/client.ts";
import { eventually } from "./eventually.ts";

/** Somebody else at the same database, in the middle of a transaction. */
export function anotherCaller(db: Db) {
  return {
    /** Does this, and keeps its locks until the answer is called, which commits. */
    hold: async (act: (tx: Tx) => Promise<unknown>): Promise<() => Promise<void>> => {
      const acted = Promise.withResolvers<void>();
      const end = Promise.withResolvers<void>();
      const done = db.transaction(async (tx) => {
        await act(tx);
        acted.resolve();
        await end.promise;
      });
      await Promise.race([acted.promise, done]);
      return async () => {
        end.resolve();
        await done;
      };
    },
    /** Resolves when a statement in this database waits for a lock. */
    untilSomebodyWaits: () =>
      eventually(async () => {
        const waiting = await db.execute(sql`
          select 1 from pg_stat_activity
          where datname = current_database() and wait_event_type = 'Lock'`);
        if (waiting.length === 0) throw new Error("nobody waits");
      }),
  };
}
