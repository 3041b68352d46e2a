import { randomUUID } from "node:crypto";
import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { insertArtifact } from "../../db/apps/artifacts.ts";
import { aToken, startApi, type TestApi } from "../support/api.ts";
import { aDigest } from "../support/declared.ts";

async function apiWithWar(): Promise<TestApi> {
  const api = await startApi();
  await insertArtifact(api.db, { projectId: api.project, digest: aDigest("a"), sizeBytes: 1 });
  return api;
}

const create = (api: TestApi, key: string, name = "shop", token = api.token) =>
  api.ask("/v1/apps", {
    method: "POST",
    json: { name, war: { artifact: aDigest("a") } },
    headers: { "idempotency-key": key },
    token,
  });

test("the same POST with the same key is done once and answered twice", async () => {
  await using api = await apiWithWar();
  const key = randomUUID();

  const first = await create(api, key);
  const again = await create(api, key);

  expect(again.status).toBe(201);
  expect(again.text).toBe(first.text);
  expect(first.headers.get("idempotency-replayed")).toBeNull();
  expect(again.headers.get("idempotency-replayed")).toBe("true");
});

test("another body under the same key is refused", async () => {
  await using api = await apiWithWar();
  const key = randomUUID();
  await create(api, key);

  const other = await create(api, key, "other");

  expect(other.status).toBe(409);
  expect(other.body.type).toBe("/problems/idempotency-key-reused");
  expect((await api.ask("/v1/apps/other")).status).toBe(404);
});

test("a key belongs to its token: another's request with it stands on its own", async () => {
  await using api = await apiWithWar();
  const token = await aToken(api.db, { kind: "personal", project: api.project });
  await create(api, "same");

  expect((await create(api, "same", "other", token)).status).toBe(201);
});

test("of many at once with one key, one is done; the others are told so or told to wait", async () => {
  await using api = await apiWithWar();

  const answers = await Promise.all(Array.from({ length: 10 }, () => create(api, "k")));

  expect(answers.filter((it) => it.status === 201).length).toBeGreaterThan(0);
  for (const answer of answers) {
    if (answer.status === 201) expect(answer.body.release).toBe(1);
    else {
      expect(answer.status).toBe(409);
      expect(answer.headers.get("retry-after")).toBe("1");
    }
  }
  expect(await api.db.execute(sql`select 1 from releases`)).toHaveLength(1);
});

test("a refused request does not use its key up", async () => {
  await using api = await apiWithWar();
  await create(api, "first");
  const refused = await create(api, "k");

  await api.ask("/v1/apps/shop", { method: "DELETE" });

  expect(refused.status).toBe(409);
  expect((await create(api, "k")).status).toBe(201);
});

test("a key is 1 to 255 printable characters", async () => {
  await using api = await apiWithWar();

  expect((await create(api, "x".repeat(256))).status).toBe(422);
  expect((await create(api, "caf\u00e9")).status).toBe(422);
  expect((await create(api, "x".repeat(255))).status).toBe(201);
});
