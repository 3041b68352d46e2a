import { once } from "node:events";
import { request } from "node:http";
import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import type { ReleaseId } from "../../contract/ids.ts";
import { insertArtifact } from "../../db/apps/artifacts.ts";
import { connect } from "../../db/client.ts";
import { record } from "../../db/events.ts";
import type { Phase } from "../../db/schema/core.ts";
import { startApi, type TestApi } from "../support/api.ts";
import { aDigest } from "../support/declared.ts";
import { eventually } from "../support/eventually.ts";

const WAR = aDigest("a");

async function apiWithWar(): Promise<TestApi> {
  const api = await startApi();
  await insertArtifact(api.db, { projectId: api.project, digest: WAR, sizeBytes: 1 });
  return api;
}

const declare = (api: TestApi, query: string, headers: Record<string, string> = {}, json = {}) =>
  api.ask(`/v1/apps/shop${query}`, {
    method: "PUT",
    json: { war: { artifact: WAR }, ...json },
    headers,
  });

/** What a worker would write down, once the release is there. */
async function moveOn(api: TestApi, phase: Phase, more = sql``): Promise<void> {
  const [release] = await eventually(async () => {
    const rows = await api.db.execute<{ id: ReleaseId; app: never }>(
      sql`select id, app_id as app from releases order by number desc limit 1`,
    );
    expect(rows).toHaveLength(1);
    return rows;
  });
  if (!release) throw new Error("there is no release");
  await api.db.transaction(async (tx) => {
    await tx.execute(sql`update releases set phase = ${phase} ${more} where id = ${release.id}`);
    const type = phase === "failed" ? "release-failed" : "release-live";
    await record(tx, { app: release.app, release: release.id, type, message: `it is ${phase}` });
  });
}

const failure = {
  slug: "war-truncated",
  message: "the WAR ends in the middle",
  log: ["\u001b[31mlast words", "of it"],
};
const FAILED = sql`, failure = ${JSON.stringify(failure)}::jsonb`;

test("waiting for a release answers 200 when it is live, at once", async () => {
  await using api = await apiWithWar();

  const asked = declare(api, "?wait=healthy&timeout=15");
  await moveOn(api, "live", sql`, image_digest = ${aDigest("c")}`);
  const answer = await asked;

  expect(answer.status).toBe(200);
  expect(answer.body).toEqual({
    app: "shop",
    release: 1,
    phase: "live",
    digest: aDigest("c"),
    url: "http://shop.localhost:8080/",
    unchanged: false,
  });
});

test("waiting for a release that fails answers with the reason and the app's last lines", async () => {
  await using api = await apiWithWar();

  const asked = declare(api, "?wait=healthy&timeout=15");
  await moveOn(api, "failed", FAILED);
  const answer = await asked;

  expect(answer.status).toBe(422);
  expect(answer.body).toMatchObject({
    type: "/problems/release-failed",
    detail: "Release 1 of shop failed: the WAR ends in the middle",
    reason: "the WAR ends in the middle",
    slug: "war-truncated",
    log: failure.log,
    release: 1,
  });
});

test("a newer push ends the wait for the older one, and says by which release", async () => {
  await using api = await apiWithWar();

  const asked = declare(api, "?wait=healthy&timeout=15");
  await moveOn(api, "superseded", sql`, superseded_by = 2`);

  expect((await asked).body).toMatchObject({ status: 422, reason: "superseded by release 2" });
});

test("removing the app ends the wait", async () => {
  await using api = await apiWithWar();

  const asked = declare(api, "?wait=healthy&timeout=15");
  await eventually(async () => expect((await api.ask("/v1/apps/shop")).status).toBe(200));
  await api.ask("/v1/apps/shop", { method: "DELETE" });

  expect((await asked).body).toMatchObject({ status: 422, reason: "the app was removed" });
});

test("a wait that takes too long is a 504, and the release goes on", async () => {
  await using api = await apiWithWar();

  const answer = await declare(api, "?wait=healthy&timeout=1");

  expect(answer.status).toBe(504);
  expect(answer.body.type).toBe("/problems/wait-timeout");
  expect((await api.ask("/v1/apps/shop/releases/1")).body.phase).toBe("pending");
});

test("an end that nobody announced is seen all the same", async () => {
  await using api = await apiWithWar();

  const asked = declare(api, "?wait=healthy&timeout=15");
  await eventually(async () => expect((await api.ask("/v1/apps/shop")).status).toBe(200));
  await api.db.execute(sql`update releases set phase = 'live'`);

  expect((await asked).status).toBe(200);
});

test("progress streams as lines while it happens, the verdict last", async () => {
  await using api = await apiWithWar();
  const sent = request(`${api.url}/v1/apps/shop?wait=healthy&timeout=15`, {
    method: "PUT",
    headers: {
      authorization: `Bearer ${api.token}`,
      accept: "application/x-ndjson",
      "content-type": "application/json",
    },
  });
  sent.end(JSON.stringify({ war: { artifact: WAR } }));
  const [response] = await once(sent, "response");
  const [first] = await once(response, "data");
  const rest: Buffer[] = [];
  response.on("data", (chunk: Buffer) => rest.push(chunk));

  await moveOn(api, "live");
  await once(response, "end");

  expect(response.headers["content-type"]).toBe("application/x-ndjson");
  expect(JSON.parse(first)).toMatchObject({ type: "release-created", release: 1 });
  const lines = Buffer.concat(rest).toString().trim().split("\n");
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { type: "release-live", message: "it is live" },
    { type: "verdict", status: 200, app: "shop", release: 1, phase: "live" },
  ]);
});

test("a failed release's verdict line carries the problem", async () => {
  await using api = await apiWithWar();

  const asked = declare(api, "?wait=healthy&timeout=15", { accept: "application/x-ndjson" });
  await moveOn(api, "failed", FAILED);
  const last = (await asked).text.trim().split("\n").at(-1) ?? "";

  expect(JSON.parse(last)).toMatchObject({
    type: "verdict",
    status: 422,
    problem: "/problems/release-failed",
    slug: "war-truncated",
  });
});

test("people get sentences, and what the app printed cannot colour their terminal", async () => {
  await using api = await apiWithWar();

  const live = declare(api, "?wait=healthy&timeout=15", { accept: "text/plain" });
  await moveOn(api, "live");
  const failed = declare(
    api,
    "?wait=healthy&timeout=15",
    { accept: "text/plain" },
    { replicas: 2 },
  );
  await eventually(async () => expect((await api.ask("/v1/apps/shop")).body.wanted).toBe(2));
  await moveOn(api, "failed", FAILED);

  expect((await live).text).toMatch(
    /live: release 1 of shop at http:\/\/shop\.localhost:8080\/\n$/,
  );
  expect((await failed).text).toContain("Release 2 of shop failed: the WAR ends in the middle\n");
  expect((await failed).text).not.toContain("\u001b");
});

test("a wait ends within moments when the api is told to stop", async () => {
  await using api = await apiWithWar();

  const asked = declare(api, "?wait=healthy&timeout=60");
  await eventually(async () => expect((await api.ask("/v1/apps/shop")).status).toBe(200));
  api.stop();

  expect((await asked).status).toBe(504);
});

test("a wait survives the loss of every database connection", async () => {
  await using api = await apiWithWar();

  const asked = declare(api, "?wait=healthy&timeout=15");
  await eventually(async () => expect((await api.ask("/v1/apps/shop")).status).toBe(200));
  await cutConnections(api);
  await eventually(() => moveOn(api, "live"));

  expect((await asked).status).toBe(200);
});

test("announcements are heard again after the listener's connection was lost", async () => {
  await using api = await apiWithWar();
  await declare(api, "");
  using watch = api.deps.changes.watch("app:x");
  await cutConnections(api);

  await eventually(async () => {
    await api.db.execute(sql`select pg_notify('waybill_changes', 'app:x')`);
    const heard = AbortSignal.timeout(300);
    await watch.changed(5_000, heard);
    expect(heard.aborted).toBe(false);
  });
});

async function cutConnections(api: TestApi): Promise<void> {
  const admin = connect(api.pg.url, { max: 1, name: "admin" });
  await admin.db.execute(
    sql`select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()`,
  );
  await admin.close();
}
