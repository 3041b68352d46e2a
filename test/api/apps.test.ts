import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { ensureProject } from "../../db/access/projects.ts";
import { insertArtifact } from "../../db/apps/artifacts.ts";
import { aToken, startApi, type TestApi } from "../support/api.ts";
import { aDigest } from "../support/declared.ts";

const WAR = aDigest("a");

/** An api whose project has uploaded the WARs `a` and `b`. */
async function apiWithWars(): Promise<TestApi> {
  const api = await startApi();
  for (const digest of [WAR, aDigest("b")]) {
    await insertArtifact(api.db, { projectId: api.project, digest, sizeBytes: 1 });
  }
  return api;
}

const put = (api: TestApi, name: string, json: object, query = "") =>
  api.ask(`/v1/apps/${name}${query}`, { method: "PUT", json });

test("the first PUT creates an app and a release, the same again changes nothing", async () => {
  await using api = await apiWithWars();

  const first = await put(api, "shop", { war: { artifact: WAR } });
  const second = await put(api, "shop", { name: "shop", war: { artifact: WAR } });

  const answer = {
    app: "shop",
    release: 1,
    phase: "pending",
    digest: null,
    url: "http://shop.localhost:8080/",
  };
  expect(first.status).toBe(201);
  expect(first.body).toEqual({ ...answer, unchanged: false });
  expect(second.status).toBe(200);
  expect(second.body).toEqual({ ...answer, unchanged: true });
  const nudges = await api.db.execute(sql`select topic, subject from outbox`);
  const releases = await api.db.execute(sql`select id from releases`);
  expect([...nudges]).toEqual([{ topic: "build", subject: releases[0]?.id }]);
  const audit = await api.db.execute(sql`select action, object, result from audit`);
  expect([...audit]).toEqual([{ action: "app.declare", object: "app:shop", result: "done" }]);
});

test("another spec is another release; the number and the generation grow", async () => {
  await using api = await apiWithWars();

  await put(api, "shop", { war: { artifact: WAR } });
  const second = await put(api, "shop", { war: { artifact: aDigest("b") }, replicas: 2 });

  expect(second.status).toBe(200);
  expect(second.body).toMatchObject({ release: 2, unchanged: false });
  const app = await api.ask("/v1/apps/shop");
  expect(app.body).toMatchObject({ name: "shop", generation: 2, live: null, wanted: 2, pods: [] });
});

test("the same spec again is another try when the last release failed", async () => {
  await using api = await apiWithWars();
  await put(api, "shop", { war: { artifact: WAR } });
  await api.db.execute(sql`update releases set phase = 'failed'`);

  const planned = await put(api, "shop", { war: { artifact: WAR } }, "?dryRun=true");
  expect(planned.body).toMatchObject({ unchanged: false, changes: [] });
  const again = await put(api, "shop", { war: { artifact: WAR } });

  expect(again.body).toMatchObject({ release: 2, phase: "pending", unchanged: false });
});

test("a spec that was stored before a field came is the same as one that says its default", async () => {
  await using api = await apiWithWars();
  await put(api, "shop", { war: { artifact: WAR } });
  await api.db.execute(sql`update apps set spec = spec - 'singleton' - 'tomcat'`);

  const planned = await put(api, "shop", { war: { artifact: WAR } }, "?dryRun=true");
  const again = await put(api, "shop", { war: { artifact: WAR } });

  expect(planned.body).toMatchObject({ unchanged: true, changes: [] });
  expect(again.body).toMatchObject({ release: 1, unchanged: true });
});

test("twenty PUTs of one new app at once make one app and one release", async () => {
  await using api = await apiWithWars();

  const answers = await Promise.all(
    Array.from({ length: 20 }, () => put(api, "shop", { war: { artifact: WAR } })),
  );

  expect(answers.filter((it) => it.status === 201)).toHaveLength(1);
  expect(new Set(answers.map((it) => it.body.release))).toEqual(new Set([1]));
  expect(await api.db.execute(sql`select id from releases`)).toHaveLength(1);
});

test("YAML is taken as well, with and without a content type", async () => {
  await using api = await apiWithWars();
  const body = `war:\n  artifact: ${WAR}\n  contextPath: /shop\nreplicas: 2\n`;

  const typed = await api.ask("/v1/apps/shop", {
    method: "PUT",
    body,
    headers: { "content-type": "application/yaml" },
  });
  const untyped = await api.ask("/v1/apps/shop", {
    method: "PUT",
    body: new TextEncoder().encode(body),
  });

  expect(typed.status).toBe(201);
  expect(typed.body.url).toBe("http://shop.localhost:8080/shop/");
  expect(untyped.body.unchanged).toBe(true);
});

test("a dry run tells what would change, and changes nothing", async () => {
  await using api = await apiWithWars();
  await put(api, "shop", { war: { artifact: WAR } });

  const same = await put(api, "shop", { war: { artifact: WAR } }, "?dryRun=true");
  const other = await put(
    api,
    "shop",
    { war: { artifact: aDigest("b") }, env: { A: "1" } },
    "?dryRun=true",
  );

  expect(same.body).toMatchObject({ app: "shop", dryRun: true, unchanged: true, changes: [] });
  expect(other.body.changes).toEqual([
    { pointer: "/env/A", to: "1" },
    { pointer: "/war/artifact", from: WAR, to: aDigest("b") },
  ]);
  expect(await api.db.execute(sql`select id from releases`)).toHaveLength(1);
});

test("every mistake of a spec is named at once, by pointer", async () => {
  await using api = await apiWithWars();

  const answer = await put(api, "shop", {
    name: "other",
    war: { artifact: "sha256:0" },
    replica: 2,
    image: "nginx",
    resources: { memory: "lots" },
  });

  expect(answer.status).toBe(422);
  expect(answer.headers.get("content-type")).toBe("application/problem+json");
  expect(answer.body.type).toBe("/problems/spec-invalid");
  expect(answer.body.errors.map((it: { pointer: string }) => it.pointer).sort()).toEqual([
    "/image",
    "/name",
    "/replica",
    "/resources/memory",
    "/war/artifact",
  ]);
});

test("a digest that the project never uploaded is refused, as another project's is", async () => {
  await using api = await apiWithWars();
  const other = await ensureProject(api.db, "other");
  await insertArtifact(api.db, { projectId: other, digest: aDigest("e"), sizeBytes: 1 });

  const foreign = await put(api, "shop", { war: { artifact: aDigest("e") } });
  const unknown = await put(api, "shop", { war: { artifact: aDigest("f") } });

  expect(foreign.status).toBe(422);
  expect(foreign.body.errors[0].pointer).toBe("/war/artifact");
  expect(foreign.body).toEqual({ ...unknown.body });
});

test.each([
  ["two keys of one name", '{"war":{},"war":{}}', "application/json", 400],
  ["nesting without end", "[".repeat(5_000), "application/json", 400],
  ["half a document", '{"war":', "application/json", 400],
  ["a form", "a=b", "application/x-www-form-urlencoded", 415],
  ["another charset", "{}", "application/json; charset=utf-7", 415],
  ["a NUL in a text", '{"env":{"A":"\\u0000"}}', "application/json", 400],
  ["half of a surrogate pair", '{"env":{"A":"\\ud800"}}', "application/json", 400],
  ["bytes that are not UTF-8", new Uint8Array([0x22, 0xff, 0x22]), "application/json", 400],
  ["a byte order mark", "\uFEFF{}", "application/json", 400],
  ["more than a mebibyte", `"${"x".repeat(1_100_000)}"`, "application/json", 413],
])("a body with %s is refused with a problem", async (_what, body, type, status) => {
  await using api = await apiWithWars();

  const answer = await api.ask("/v1/apps/shop", {
    method: "PUT",
    body,
    headers: { "content-type": type },
  });

  expect(answer.status).toBe(status);
  expect(answer.body.status).toBe(status);
});

test.each(["A", "a_b", "-rf", "a-", "x".repeat(41), "%2e%2e%2fx", "caf%C3%A9"])(
  "an app cannot be named %s",
  async (name) => {
    await using api = await apiWithWars();

    expect((await put(api, name, { war: { artifact: WAR } })).status).toBe(422);
  },
);

test("POST creates, and refuses a name that is taken", async () => {
  await using api = await apiWithWars();
  const post = () =>
    api.ask("/v1/apps", { method: "POST", json: { name: "shop", war: { artifact: WAR } } });

  expect((await post()).status).toBe(201);
  const again = await post();

  expect(again.status).toBe(409);
  expect(again.body.type).toBe("/problems/app-name-taken");
});

test("apps are listed by name, a page at a time, and a made-up cursor is refused", async () => {
  await using api = await apiWithWars();
  for (const name of ["c", "a", "b"]) await put(api, name, { war: { artifact: WAR } });

  const first = await api.ask("/v1/apps?limit=2");
  const second = await api.ask(`/v1/apps?limit=2&cursor=${first.body.next}`);

  expect(first.body.apps.map((it: { name: string }) => it.name)).toEqual(["a", "b"]);
  expect(second.body.apps.map((it: { name: string }) => it.name)).toEqual(["c"]);
  expect(second.body.next).toBeNull();
  for (const query of [
    "cursor=abc",
    "limit=0",
    "limit=201",
    "limit=-1",
    "sort=name",
    "limit=1&limit=2",
  ]) {
    expect((await api.ask(`/v1/apps?${query}`)).status, query).toBe(422);
  }
});

test("a removed app is gone, its name is free, and the scheduler is told", async () => {
  await using api = await apiWithWars();
  await put(api, "shop", { war: { artifact: WAR } });
  await api.db.execute(sql`delete from outbox`);

  const removed = await api.ask("/v1/apps/shop?wait=gone", { method: "DELETE" });

  expect(removed.body).toEqual({ app: "shop", deleted: true });
  expect((await api.ask("/v1/apps/shop")).status).toBe(404);
  expect((await api.ask("/v1/apps/shop", { method: "DELETE" })).status).toBe(404);
  const nudges = await api.db.execute(sql`select topic from outbox`);
  expect([...nudges]).toEqual([{ topic: "schedule" }]);
  expect((await put(api, "shop", { war: { artifact: WAR } })).status).toBe(201);
});

test("releases, their differences and events can be read back", async () => {
  await using api = await apiWithWars();
  await put(api, "shop", { war: { artifact: WAR } });
  await put(api, "shop", { war: { artifact: WAR }, replicas: 3 });

  const list = await api.ask("/v1/apps/shop/releases?limit=1");
  const rest = await api.ask(`/v1/apps/shop/releases?cursor=${list.body.next}`);
  const diff = await api.ask("/v1/apps/shop/releases/1/diff/2");
  const events = await api.ask("/v1/apps/shop/events?release=2");

  expect(list.body.releases[0]).toMatchObject({ app: "shop", release: 2, phase: "pending" });
  expect(rest.body.releases.map((it: { release: number }) => it.release)).toEqual([1]);
  expect(diff.body).toEqual({
    from: 1,
    to: 2,
    changes: [{ pointer: "/replicas", from: 1, to: 3 }],
  });
  expect(events.body.events).toMatchObject([{ type: "release-created", release: 2 }]);
  for (const n of ["0", "3", "x", "99999999999"]) {
    expect((await api.ask(`/v1/apps/shop/releases/${n}`)).status).toBe(404);
  }
});

test("many documents are applied together, and none of them when one is wrong", async () => {
  await using api = await apiWithWars();
  const apply = (body: string) =>
    api.ask("/v1/apply", { method: "POST", body, headers: { "content-type": "application/yaml" } });
  const document = (name: string, more = "") =>
    `name: ${name}\nwar: { artifact: "${WAR}" }\n${more}`;

  const wrong = await apply(
    `${document("b")}---\n${document("a", "replica: 1\n")}---\nkind: Job\n`,
  );
  const right = await apply(`---\n${document("b")}---\n# two\n${document("a")}...\n`);

  expect(wrong.status).toBe(422);
  expect(wrong.body.errors.map((it: { pointer: string }) => it.pointer)).toEqual([
    "/1/replica",
    "/2/kind",
  ]);
  expect(right.status).toBe(200);
  expect(right.body.applied.map((it: { app: string }) => it.app)).toEqual(["b", "a"]);
  expect(await api.db.execute(sql`select id from releases`)).toHaveLength(2);
});

test("another project's app answers as one that does not exist", async () => {
  await using api = await apiWithWars();
  await put(api, "shop", { war: { artifact: WAR } });
  const project = await ensureProject(api.db, "other");
  const token = await aToken(api.db, { kind: "personal", project });

  for (const path of [
    "",
    "/releases",
    "/releases/1",
    "/releases/1/diff/1",
    "/events",
    "/explain",
  ]) {
    const foreign = await api.ask(`/v1/apps/shop${path}`, { token });
    const missing = await api.ask(`/v1/apps/nope${path}`, { token });
    expect(foreign.status).toBe(404);
    expect(foreign.text).toBe(missing.text.replaceAll("nope", "shop"));
  }
  expect((await api.ask("/v1/apps/shop", { method: "DELETE", token })).status).toBe(404);
  expect((await api.ask("/v1/apps", { token })).body.apps).toEqual([]);
});
