import { eq, sql } from "drizzle-orm";
import { expect, test } from "vitest";
import type { ReleaseId } from "../../contract/ids.ts";
import { claimBuild } from "../../db/apps/builds.ts";
import { failOverdue } from "../../db/apps/deadlines.ts";
import type { Db } from "../../db/client.ts";
import { releases } from "../../db/schema/core.ts";
import { events } from "../../db/schema/history.ts";
import { built, declare } from "../support/declared.ts";
import { freshDb } from "../support/postgres.ts";

const since = (db: Db, release: ReleaseId, ago: string) =>
  db
    .update(releases)
    .set({ phaseAt: sql`now() - ${ago}::interval` })
    .where(eq(releases.id, release));
const ends = async (db: Db) =>
  (await db.select().from(releases).orderBy(releases.createdAt)).map(
    (it) => it.failure?.slug ?? it.phase,
  );

test("a release that nobody moves on fails in time, with a reason", async () => {
  await using pg = await freshDb();
  const [pending, waiting, done] = [
    await declare(pg.db, "one"),
    await declare(pg.db, "two"),
    await declare(pg.db, "three"),
  ];
  await built(pg.db, done);
  await since(pg.db, pending.release, "61 minutes");
  await since(pg.db, waiting.release, "59 minutes");
  await since(pg.db, done.release, "14 minutes");

  expect(await failOverdue(pg.db)).toBe(1);
  expect(await ends(pg.db)).toEqual(["never-built", "pending", "built"]);

  await since(pg.db, done.release, "16 minutes");
  expect(await failOverdue(pg.db)).toBe(1);
  expect(await failOverdue(pg.db)).toBe(0);

  expect(await ends(pg.db)).toEqual(["never-built", "pending", "never-scheduled"]);
  const failed = await pg.db.select().from(events).where(eq(events.type, "release-failed"));
  expect(failed.map((it) => it.message)).toEqual([
    expect.stringContaining("no worker took its build within an hour"),
    expect.stringContaining("placing its pods failed for 15 minutes"),
  ]);
});

test("a release that waits its turn behind builds is given the time", async () => {
  await using pg = await freshDb();
  const [waiting, long] = [await declare(pg.db, "one"), await declare(pg.db, "two")];
  await claimBuild(pg.db, long.release);
  await since(pg.db, waiting.release, "3 hours");
  await since(pg.db, long.release, "12 minutes");

  expect(await failOverdue(pg.db)).toBe(0);
  await pg.db.update(releases).set({ buildLeaseUntil: null });

  expect(await failOverdue(pg.db)).toBe(1);
  expect(await ends(pg.db)).toEqual(["never-built", "building"]);
});
