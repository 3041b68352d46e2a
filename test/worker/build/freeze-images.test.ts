import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { AppSpec } from "../../../contract/app/app-spec.ts";
import { PAUSE_REPOSITORY, PAUSE_TAG } from "../../../contract/node/protocol.ts";
import { ensureProject } from "../../../db/access/projects.ts";
import { declareApp } from "../../../db/apps/apps.ts";
import type { Db } from "../../../db/client.ts";
import { releases } from "../../../db/schema/core.ts";
import { events } from "../../../db/schema/history.ts";
import { openLog } from "../../../kit/log.ts";
import { openBases } from "../../../worker/build/base.ts";
import { openRegistry, type Registry } from "../../../worker/build/registry.ts";
import { type BuildDeps, buildRelease } from "../../../worker/build/run.ts";
import { parseAllowed } from "../../../worker/egress/policy.ts";
import { openEgress } from "../../../worker/egress/request.ts";
import { freshDb } from "../../support/postgres.ts";
import { pushImage } from "../../support/pushed-image.ts";
import { startRegistry } from "../../support/registry.ts";
import { startGate } from "../../support/registry-gate.ts";

const workDir = join(tmpdir(), `waybill-test-freeze-${process.pid}`);
afterAll(() => rm(workDir, { recursive: true, force: true }));

function aWorker(db: Db, registry: Registry): BuildDeps {
  return {
    ...{ db, registry, bases: openBases({ registry, workDir }), workDir },
    egress: openEgress(parseAllowed("") ?? expect.fail()),
    ownAddresses: new Set(),
    log: openLog("test", () => undefined),
    signal: new AbortController().signal,
  };
}

async function declareImage(db: Db, image: string) {
  const spec = AppSpec.parse({ name: "shop", image });
  return await db.transaction(async (tx) =>
    declareApp(tx, {
      ...{ project: await ensureProject(tx, "default"), spec, by: "test" },
      materials: { secrets: {}, configMaps: {} },
    }),
  );
}

const releaseOf = async (db: Db) => (await db.select().from(releases))[0];

test("a release that names an image is frozen to its digest and its port, and says so", async () => {
  await using pg = await freshDb();
  await using own = await startRegistry();
  await using far = await startRegistry();
  await using gate = await startGate(far.url);
  const digest = await pushImage(far.url, "web", {
    settings: { ExposedPorts: { "8081/tcp": {} } },
  });
  const image = `${gate.host}/web`;
  const { app, release } = await declareImage(pg.db, image);

  expect(await buildRelease(aWorker(pg.db, own.client), release)).toBe(app);

  const repository = `mirror/${gate.host.replace(":", "_")}/web`;
  expect(await releaseOf(pg.db)).toMatchObject({
    phase: "built",
    images: { [image]: `${repository}@${digest}` },
    ...{ imageRepository: repository, imageDigest: digest, baseDigest: null, httpPort: 8_081 },
  });
  const told = (await pg.db.select().from(events)).map(({ message }) => message);
  expect(told).toContainEqual(expect.stringMatching(/^copying .*\/web: 2 of 2 layers, /));
});

test("the registry has the pause image once it has what a pod runs", async () => {
  await using pg = await freshDb();
  await using own = await startRegistry();
  await pushImage(own.url, "library/web");
  const { release } = await declareImage(pg.db, "web");

  await buildRelease(aWorker(pg.db, own.client), release);

  const soon = AbortSignal.timeout(5_000);
  expect(await own.client.manifestDigest(PAUSE_REPOSITORY, PAUSE_TAG, soon)).toBeDefined();
});

test("a release whose image does not exist fails at once, and names where it was looked for", async () => {
  await using pg = await freshDb();
  await using own = await startRegistry();
  const host = own.url.replace("http://", "");
  const { release } = await declareImage(pg.db, `${host}/nope:1`);

  await buildRelease(aWorker(pg.db, own.client), release);

  expect(await releaseOf(pg.db)).toMatchObject({
    phase: "failed",
    buildAttempt: 1,
    failure: {
      slug: "image-not-found",
      message: `${host}/nope:1: ${host} has no such image`,
    },
  });
});

test("a release whose registry is away is tried again, and fails with what was away", async () => {
  await using pg = await freshDb();
  await using own = await startRegistry();
  await using gate = await startGate(own.url, (_, answer) => {
    answer.destroy();
    return true;
  });
  const { release } = await declareImage(pg.db, `${gate.host}/api`);
  const worker = aWorker(pg.db, own.client);

  for (let attempt = 1; attempt <= 5; attempt++) {
    await expect(buildRelease(worker, release)).rejects.toThrow(`attempt ${attempt}`);
    expect((await releaseOf(pg.db))?.phase).toBe(attempt < 5 ? "building" : "failed");
    await pg.db.update(releases).set({ buildLeaseUntil: new Date(0) });
  }

  expect((await releaseOf(pg.db))?.failure).toMatchObject({
    slug: "registry-unreachable",
    message: `the build failed 5 times: ${gate.host}/api: ${gate.host} does not answer`,
  });
});

test("nothing is said about an image while Waybill's own registry is away", async () => {
  await using pg = await freshDb();
  const { release } = await declareImage(pg.db, "nginx");
  const worker = aWorker(pg.db, openRegistry("http://127.0.0.1:1"));

  await expect(buildRelease(worker, release)).rejects.toThrow("attempt 1");

  expect(await releaseOf(pg.db)).toMatchObject({ phase: "building", failure: null });
});
