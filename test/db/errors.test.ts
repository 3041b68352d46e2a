import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { databaseUnavailable, withoutValues } from "../../db/errors.ts";
import { causeChain } from "../../kit/log.ts";
import { freshDb } from "../support/postgres.ts";

test("what a failed statement carried is not logged, however deep its error lies", async () => {
  await using pg = await freshDb();
  const failed = await pg.db
    .execute(sql`select * from nowhere where a = ${"hunter2"}`)
    .catch((it) => it);
  const error = new Error("placing a pod", { cause: new Error("adding it", { cause: failed }) });
  expect(causeChain(error).join()).toContain("hunter2");

  const logged = causeChain(withoutValues(error)).join("\n");

  expect(logged).not.toContain("hunter2");
  expect(logged).toContain("placing a pod\nadding it\na statement failed: select * from nowhere");
  expect(logged).toContain('relation "nowhere" does not exist');
});

test("two transactions that wait for each other: the one that gave way is done again", async () => {
  await using pg = await freshDb({ max: 2 });
  const lock = (tx: Pick<typeof pg.db, "execute">, key: number) =>
    tx.execute(sql`select pg_advisory_xact_lock(${key}::bigint)`);
  const [firstHolds, secondHolds] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let tries = 0;

  await Promise.all([
    pg.db.transaction(async (tx) => {
      tries++;
      await lock(tx, 1);
      firstHolds.resolve();
      await secondHolds.promise;
      await lock(tx, 2);
    }),
    pg.db.transaction(async (tx) => {
      tries++;
      await lock(tx, 2);
      secondHolds.resolve();
      await firstHolds.promise;
      await lock(tx, 1);
    }),
  ]);

  expect(tries).toBe(3);
});

test("a transaction that always gives way is told to come back, and one that fails is not done again", async () => {
  await using pg = await freshDb({ max: 1 });
  const failing = async (code: string) => {
    let tries = 0;
    const error = await pg.db
      .transaction(async (tx) => {
        tries++;
        await tx.execute(sql.raw(`do $$ begin raise exception using errcode = '${code}'; end $$`));
      })
      .catch((it: unknown) => it);
    return { tries, unavailable: databaseUnavailable(error) };
  };

  expect(await failing("40P01")).toEqual({ tries: 3, unavailable: true });
  expect(await failing("23505")).toEqual({ tries: 1, unavailable: false });
});
