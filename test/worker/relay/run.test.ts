import { randomBytes } from "node:crypto";
import { sql } from "drizzle-orm";
import { Redis } from "ioredis";
import { expect, test } from "vitest";
import { claimBuild } from "../../../db/apps/builds.ts";
import { findUnsettled } from "../../../db/apps/unsettled.ts";
import { whoIsThere } from "../../../db/health.ts";
import { nudge, relayBatch } from "../../../db/outbox.ts";
import { openLog } from "../../../kit/log.ts";
import { openQueues, startProcessors } from "../../../worker/queues.ts";
import { relayOutbox } from "../../../worker/relay/run.ts";
import { sweep } from "../../../worker/sweep/run.ts";
import { aDigest, declare } from "../../support/declared.ts";
import { eventually } from "../../support/eventually.ts";
import { freshDb } from "../../support/postgres.ts";
import { startRedis } from "../../support/redis.ts";

const fail = (error: unknown) => {
  throw error;
};
const aPrefix = () => `t${randomBytes(4).toString("hex")}`;

test("a nudge rings once, however often the relay crashes between sending and forgetting", async () => {
  await using pg = await freshDb();
  await using redis = await startRedis();
  const prefix = aPrefix();
  const queues = await openQueues(redis.url, prefix, fail);
  const sent: string[] = [];
  await pg.db.transaction((tx) => nudge(tx, "schedule", "subject-1"));

  await expect(
    relayBatch(pg.db, 10, async (nudges) => {
      for (const { id, topic, subject } of nudges) await queues.add(topic, subject, `n${id}`);
      throw new Error("crash before commit");
    }),
  ).rejects.toThrow("crash before commit");
  await relayOutbox(pg.db, queues);
  const processors = startProcessors(
    redis.url,
    prefix,
    { build: async () => undefined, schedule: async (subject) => void sent.push(subject) },
    () => undefined,
  );

  await eventually(async () => expect(sent).toEqual(["subject-1"]));
  expect(await pg.db.execute(sql`select * from outbox`)).toHaveLength(0);
  await processors.close();
  await queues.close();
});

test("a stop waits for the looks under way, so that each can write down how far it came", async () => {
  await using pg = await freshDb();
  await using redis = await startRedis();
  const prefix = aPrefix();
  const queues = await openQueues(redis.url, prefix, () => undefined);
  const begun = Promise.withResolvers<void>();
  let written = false;
  const look = async () => {
    begun.resolve();
    await pg.db.execute(sql`select pg_sleep(0.3)`);
    written = true;
  };
  const looks = { build: look, schedule: look };
  const processors = startProcessors(redis.url, prefix, looks, () => undefined);
  await queues.add("build", "subject-1", "n1");
  await begun.promise;

  await processors.close();

  expect(written).toBe(true);
  await queues.close();
});

test("a build that goes on for long holds up no other", async () => {
  await using redis = await startRedis();
  const prefix = aPrefix();
  const queues = await openQueues(redis.url, prefix, () => undefined);
  const end = Promise.withResolvers<void>();
  const built: string[] = [];
  const build = async (subject: string) => {
    if (subject === "slow") await end.promise;
    built.push(subject);
  };
  const looks = { build, schedule: async () => undefined };
  const processors = startProcessors(redis.url, prefix, looks, () => undefined);
  await queues.add("build", "slow", "n1");
  await queues.add("build", "quick", "n2");

  await eventually(() => expect(built).toEqual(["quick"]));

  end.resolve();
  await processors.close();
  expect(built).toEqual(["quick", "slow"]);
  await queues.close();
});

test("a look that is due later comes then, and holds up none that is due now", async () => {
  await using redis = await startRedis();
  const prefix = aPrefix();
  const queues = await openQueues(redis.url, prefix, () => undefined);
  const looked: { subject: string; atMs: number }[] = [];
  const look = async (subject: string) => {
    looked.push({ subject, atMs: Date.now() });
  };
  const looks = { build: look, schedule: look };
  const processors = startProcessors(redis.url, prefix, looks, () => undefined);
  const startMs = Date.now();

  await queues.add("schedule", "later", "t1", 700);
  await queues.add("schedule", "now", "t2");

  await eventually(() => expect(looked.map((it) => it.subject)).toEqual(["now", "later"]));
  expect((looked[1]?.atMs ?? 0) - startMs).toBeGreaterThanOrEqual(700);
  await processors.close();
  await queues.close();
});

test("FLUSHALL loses the bell and not the work: the sweep finds what waits", async () => {
  await using pg = await freshDb();
  await using redis = await startRedis();
  const queues = await openQueues(redis.url, aPrefix(), fail);
  const { release } = await declare(pg.db, "shop", aDigest("a"));
  await relayOutbox(pg.db, queues);
  const admin = new Redis(redis.url);
  await admin.flushall();
  admin.disconnect();
  await pg.db.execute(sql`update releases set phase_at = now() - interval '11 seconds'`);

  expect(await findUnsettled(pg.db)).toEqual([
    { topic: "build", subject: release, expected: false, turn: "0" },
  ]);
  await queues.close();
});

test("what waits behind a long build is no lost nudge, and one job rings for it however long it waits", async () => {
  await using pg = await freshDb();
  await using redis = await startRedis();
  const prefix = aPrefix();
  const queues = await openQueues(redis.url, prefix, fail);
  const warnings: string[] = [];
  const log = { ...openLog("test", () => undefined), warn: (it: string) => void warnings.push(it) };
  const [long, behind] = [await declare(pg.db, "long"), await declare(pg.db, "behind")];
  await claimBuild(pg.db, long.release);
  await pg.db.execute(sql`update releases set phase_at = now() - interval '11 seconds'`);

  for (let at = 0; at < 3; at++) await sweep({ db: pg.db, queues, log, worker: "w" });

  const admin = new Redis(redis.url);
  expect(await admin.lrange(`${prefix}:build:wait`, 0, -1)).toEqual([`s0-${behind.release}`]);
  expect(warnings).toEqual([]);
  await pg.db.execute(sql`update releases set build_lease_until = now() - interval '1 second'`);
  await sweep({ db: pg.db, queues, log, worker: "w" });
  expect(await admin.lrange(`${prefix}:build:wait`, 0, -1)).toEqual([
    `s1-${long.release}`,
    `s0-${behind.release}`,
  ]);
  expect(warnings).toEqual(["nudges were lost; ringing again"]);
  admin.disconnect();
  await queues.close();
});

test("a worker that Redis does not answer is not counted as there", async () => {
  await using pg = await freshDb();
  await using redis = await startRedis();
  const workersAfter = async (redisUrl: string) => {
    const queues = await openQueues(redisUrl, aPrefix(), () => undefined);
    const log = openLog("test", () => undefined);
    const look = () => sweep({ db: pg.db, queues, log, worker: "w" });
    try {
      if (redisUrl === redis.url) await look();
      else await expect(look()).rejects.toThrow();
      return (await whoIsThere(pg.db)).workers;
    } finally {
      await queues.close();
    }
  };

  expect(await workersAfter("redis://127.0.0.1:1")).toBe(0);
  expect(await workersAfter(redis.url)).toBe(1);
});

test("relays that race carry every nudge once", async () => {
  await using pg = await freshDb({ max: 4 });
  await pg.db.transaction(async (tx) => {
    for (let at = 0; at < 200; at++) await nudge(tx, "schedule", `subject-${at}`);
  });
  const sent: string[] = [];

  const relay = async () => {
    while (
      (await relayBatch(
        pg.db,
        20,
        async (rows) => void sent.push(...rows.map((it) => it.subject)),
      )) > 0
    );
  };
  await Promise.all([relay(), relay(), relay()]);

  expect(sent).toHaveLength(200);
  expect(new Set(sent).size).toBe(200);
});
