import { eq, sql } from "drizzle-orm";
import { expect, test } from "vitest";
import {
  claimBuild,
  extendLease,
  failBuild,
  finishBuild,
  MAX_ATTEMPTS,
  releaseBuild,
} from "../../db/apps/builds.ts";
import { cancelUnbuilt } from "../../db/apps/placing.ts";
import type { Db } from "../../db/client.ts";
import { apps, releases } from "../../db/schema/core.ts";
import { events } from "../../db/schema/history.ts";
import { aDigest, built, declare } from "../support/declared.ts";
import { freshDb } from "../support/postgres.ts";

const image = {
  repository: "apps/default/shop",
  image: aDigest("c"),
  base: aDigest("b"),
  images: null,
  httpPort: 8080,
};

async function claimed(db: Db, release: Parameters<typeof claimBuild>[1]) {
  const outcome = await claimBuild(db, release);
  if (outcome.kind !== "claimed") throw new Error(`not claimed: ${outcome.kind}`);
  return outcome.claim;
}

const lapse = (db: Db) =>
  db.update(releases).set({ buildLeaseUntil: sql`now() - interval '1 second'` });

async function phaseOf(db: Db, release: Parameters<typeof claimBuild>[1]) {
  const [row] = await db.select().from(releases).where(eq(releases.id, release));
  return row;
}

test("one worker at a time builds a release, however often it is asked to", async () => {
  await using pg = await freshDb();
  const { release } = await declare(pg.db, "shop");

  const outcomes = await Promise.all(Array.from({ length: 5 }, () => claimBuild(pg.db, release)));

  expect(outcomes.map((it) => it.kind).toSorted()).toEqual([
    "claimed",
    ...Array(4).fill("nothing-to-do"),
  ]);
});

test("a worker that fell silent loses its build, and what it writes afterwards is refused", async () => {
  await using pg = await freshDb();
  const { release } = await declare(pg.db, "shop");
  const first = await claimed(pg.db, release);
  await lapse(pg.db);

  const second = await claimed(pg.db, release);

  expect(await extendLease(pg.db, first)).toBe(false);
  expect(await finishBuild(pg.db, first, { ...image, image: aDigest("9") }, "late")).toBe(false);
  expect(await failBuild(pg.db, first, { slug: "x", message: "late", log: [] })).toBe(false);
  const late = { message: "late", restMs: 0, interrupted: false };
  expect(await releaseBuild(pg.db, first, late)).toBe(false);
  expect(await finishBuild(pg.db, second, image, "built")).toBe(true);
  expect(await phaseOf(pg.db, release)).toMatchObject({
    phase: "built",
    imageDigest: image.image,
    buildAttempt: 2,
  });
});

test("the newest push wins: an older release that is not built yet is superseded by number", async () => {
  await using pg = await freshDb();
  const older = await declare(pg.db, "shop", aDigest("a"));
  await declare(pg.db, "shop", aDigest("d"));

  expect(await claimBuild(pg.db, older.release)).toEqual({ kind: "superseded", by: 2 });
  expect(await phaseOf(pg.db, older.release)).toMatchObject({
    phase: "superseded",
    supersededBy: 2,
  });
});

test("a build that takes its worker down again and again ends, with a reason", async () => {
  await using pg = await freshDb();
  const { release } = await declare(pg.db, "shop");
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    await claimed(pg.db, release);
    await lapse(pg.db);
  }

  expect(await claimBuild(pg.db, release)).toEqual({ kind: "given-up" });
  expect(await phaseOf(pg.db, release)).toMatchObject({
    phase: "failed",
    failure: { slug: "build-crashed" },
  });
});

test("a release that is built is not built again", async () => {
  await using pg = await freshDb();
  const declared = await declare(pg.db, "shop");
  await built(pg.db, declared);

  expect(await claimBuild(pg.db, declared.release)).toEqual({ kind: "nothing-to-do" });
});

test("a release that the deletion of its app cancels says so in its history, whoever comes upon it first", async () => {
  await using pg = await freshDb();
  const [byBuilder, byScheduler] = [await declare(pg.db, "shop"), await declare(pg.db, "blog")];
  await pg.db.update(apps).set({ deletedAt: sql`now()` });

  await claimBuild(pg.db, byBuilder.release);
  await cancelUnbuilt(pg.db, [byScheduler.app], "the deletion of the app");

  const cancelled = await pg.db.select().from(events).where(eq(events.type, "release-cancelled"));
  expect(cancelled.map((it) => [it.releaseId, it.message])).toEqual([
    [byBuilder.release, "cancelled by the deletion of the app"],
    [byScheduler.release, "cancelled by the deletion of the app"],
  ]);
});
