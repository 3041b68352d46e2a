import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import type { Db } from "../../../db/client.ts";
import { releases } from "../../../db/schema/core.ts";
import { openLog } from "../../../kit/log.ts";
import { openRegistry } from "../../../worker/build/registry.ts";
import { type BuildDeps, buildRelease } from "../../../worker/build/run.ts";
import { aDigest, declare } from "../../support/declared.ts";
import { eventually } from "../../support/eventually.ts";
import { freshDb } from "../../support/postgres.ts";

/** A worker whose registry does not answer. */
function withoutRegistry(db: Db, signal: AbortSignal): BuildDeps {
  const away = () => Promise.reject(new Error("the registry does not answer"));
  return {
    db,
    registry: openRegistry("http://127.0.0.1:1"),
    egress: away,
    ownAddresses: new Set(),
    bases: { tomcat: away, pause: away },
    workDir: "/nowhere",
    log: openLog("test", () => undefined),
    signal,
  };
}

async function stateOf(db: Db) {
  const [row] = await db
    .select({
      phase: releases.phase,
      failure: releases.failure,
      restSeconds: sql<number>`round(extract(epoch from ${releases.buildLeaseUntil} - now()))::int`,
    })
    .from(releases);
  return row;
}

test("a build that the registry fails rests longer before each attempt, and ends with what was wrong", async () => {
  await using pg = await freshDb();
  const { release } = await declare(pg.db, "shop");
  const deps = withoutRegistry(pg.db, new AbortController().signal);
  const rests: unknown[] = [];

  for (let attempt = 1; attempt < 5; attempt++) {
    await expect(buildRelease(deps, release)).rejects.toThrow(`attempt ${attempt}`);
    rests.push((await stateOf(pg.db))?.restSeconds);
    await buildRelease(deps, release);
    await pg.db.update(releases).set({ buildLeaseUntil: sql`now() - interval '1 second'` });
  }
  await expect(buildRelease(deps, release)).rejects.toThrow("attempt 5");

  expect(rests).toEqual([2, 4, 8, 16]);
  expect(await stateOf(pg.db)).toMatchObject({
    phase: "failed",
    failure: {
      slug: "build-failed",
      message: "the build failed 5 times: the registry does not answer",
    },
  });
});

test("a registry without room is what the release fails for", async () => {
  await using pg = await freshDb();
  await using registry = await fullRegistry();
  const { release } = await declare(pg.db, "shop");
  const client = openRegistry(registry.url);
  const away = withoutRegistry(pg.db, new AbortController().signal);
  const store = (_: unknown, signal: AbortSignal) =>
    client.putBytes("base/tomcat", aDigest("a"), Buffer.of(1), signal).then(() => expect.fail());
  const deps = { ...away, bases: { tomcat: store, pause: store } };

  for (let attempt = 1; attempt <= 5; attempt++) {
    await pg.db.update(releases).set({ buildLeaseUntil: sql`now() - interval '1 second'` });
    await expect(buildRelease(deps, release)).rejects.toThrow(`attempt ${attempt}`);
  }

  expect((await stateOf(pg.db))?.failure).toMatchObject({
    slug: "registry-full",
    message: expect.stringMatching(
      /^the build failed 5 times: could not upload .*: the registry is full$/,
    ),
  });
});

/** A registry whose disk is full, as the CNCF distribution says it. */
async function fullRegistry() {
  const server = createServer((_, answer) => {
    answer.writeHead(500).end('{"errors":[{"detail":{"Enclosed":{"Op":"write","Err":28}}}]}');
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => void server.close(),
  };
}

test("workers that stop use up no attempt, and leave the build to the next at once", async () => {
  await using pg = await freshDb();
  const { release } = await declare(pg.db, "shop");
  const deps = withoutRegistry(pg.db, AbortSignal.abort());

  for (let stop = 1; stop <= 7; stop++)
    await expect(buildRelease(deps, release)).rejects.toThrow(`attempt ${stop}`);

  expect(await stateOf(pg.db)).toMatchObject({ phase: "building", failure: null });
});

test("a build goes on through a beat that the database missed", async () => {
  await using pg = await freshDb();
  const { release } = await declare(pg.db, "shop");
  const missed = Promise.withResolvers<void>();
  const base = async (_: unknown, signal: AbortSignal): Promise<never> => {
    await pg.db.execute(sql`alter table releases rename to away`);
    await missed.promise;
    await pg.db.execute(sql`alter table away rename to releases`);
    const before = (await pg.db.select().from(releases))[0]?.buildLeaseUntil;
    await eventually(async () => {
      const after = (await pg.db.select().from(releases))[0]?.buildLeaseUntil;
      expect(after?.getTime()).toBeGreaterThan(before?.getTime() ?? 0);
    });
    throw new Error(signal.aborted ? "given up" : "held to the end");
  };
  const deps = withoutRegistry(pg.db, new AbortController().signal);
  const log = { ...deps.log, error: () => missed.resolve() };

  const outcome = await buildRelease(
    { ...deps, log, bases: { tomcat: base, pause: base } },
    release,
  )
    .then(() => undefined)
    .catch((error: Error) => (error.cause as Error).message);

  expect(outcome).toBe("held to the end");
});
