import { gzipSync } from "node:zlib";
import { sql } from "drizzle-orm";
import { afterAll, beforeAll, expect, test } from "vitest";
import { aToken, startApi, type TestApi } from "../support/api.ts";

/* Rows 27 to 39 of the project's list of hostile input, sent where pods are taken. */

let api: TestApi;
beforeAll(async () => {
  api = await startApi();
});
afterAll(async () => {
  await api[Symbol.asyncDispose]();
});

const POD = `apiVersion: v1
kind: Pod
metadata: { name: shop }
spec: { containers: [{ name: web, image: nginx }] }
`;
const JSON_POD = '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"shop"},"spec":{}}';
const YAML = "application/yaml";
const JSON_TYPE = "application/json";
type Body = string | Uint8Array<ArrayBuffer>;
const bytes = (text: string, encoding: BufferEncoding = "utf8") =>
  Uint8Array.from(Buffer.from(text, encoding));

test.each<[string, Body, string, number, string]>([
  [
    "JSON 5,000 levels deep",
    `${'{"spec":'.repeat(5_000)}1${"}".repeat(5_000)}`,
    JSON_TYPE,
    400,
    "too-deep",
  ],
  ["JSON 200,000 levels deep", "[".repeat(200_000), JSON_TYPE, 400, "too-deep"],
  ["YAML 10,000 brackets deep", `spec: ${"[".repeat(10_000)}`, YAML, 400, "too-deep"],
  ["YAML a hundred dashes deep", `${"- ".repeat(100)}x`, YAML, 400, "too-deep"],
  [
    "a key twice in JSON",
    JSON_POD.replace('"spec"', '"kind":"Pod","spec"'),
    JSON_TYPE,
    400,
    "duplicate-key",
  ],
  ["a key twice in YAML", `${POD}kind: Pod\n`, YAML, 400, "duplicate-key"],
  ["half of a surrogate pair", JSON_POD.replace("shop", "\\ud800"), JSON_TYPE, 400, "body-invalid"],
  ["a NUL", JSON_POD.replace("shop", "\\u0000"), JSON_TYPE, 400, "body-invalid"],
  ["a byte order mark", bytes(`\uFEFF${POD}`), YAML, 400, "body-invalid"],
  ["UTF-16", bytes(POD, "utf16le"), YAML, 400, "body-invalid"],
  ["invalid UTF-8", Uint8Array.from([...bytes(POD), 0xff]), YAML, 400, "body-invalid"],
  [
    "__proto__ in JSON",
    JSON_POD.replace('"spec"', '"__proto__":{"a":1},"spec"'),
    JSON_TYPE,
    400,
    "body-invalid",
  ],
  ["__proto__ in YAML", `${POD}__proto__: { a: 1 }\n`, YAML, 400, "body-invalid"],
  ["a merge of an alias", `x: &a { b: 1 }\n<<: *a\n${POD}`, YAML, 400, "body-invalid"],
  ["a function of a tag", `${POD}x: !!js/function "function(){}"\n`, YAML, 400, "body-invalid"],
  ["binary", `${POD}x: !!binary aGk=\n`, YAML, 400, "body-invalid"],
  ["a tag of its own", `${POD}x: !mine 1\n`, YAML, 400, "body-invalid"],
  ["YAML that says it is JSON", POD, JSON_TYPE, 400, "body-invalid"],
  ["a form", "a=b", "multipart/form-data; boundary=x", 415, "media-type"],
  ["UTF-7", POD, "application/yaml; charset=utf-7", 415, "media-type"],
  ["more than four mebibytes", bytes(`x: ${"y".repeat(4_300_000)}`), YAML, 413, "body-too-large"],
  [
    "a hundred thousand keys",
    `{${Array.from({ length: 100_000 }, (_, at) => `"k${at}":1`).join()}}`,
    JSON_TYPE,
    422,
    "spec-invalid",
  ],
  ["a hundred and one documents", `${POD}---\n`.repeat(101), YAML, 400, "body-invalid"],
  ["nothing", "", YAML, 400, "body-invalid"],
  ["only a comment", "# nothing\n", YAML, 400, "body-invalid"],
  ["one Pod twice", `${POD}---\n${POD}`, YAML, 422, "spec-invalid"],
])("%s is refused with a problem, within seconds", async (_what, body, type, status, slug) => {
  const startedMs = performance.now();

  const answer = await api.ask("/v1/apply", {
    method: "POST",
    body,
    headers: { "content-type": type },
  });

  expect(performance.now() - startedMs).toBeLessThan(5_000);
  expect({ status: answer.status, type: answer.body?.type }).toEqual({
    status,
    type: `/problems/${slug}`,
  });
});

test("a packed body is refused, however small", async () => {
  const answer = await api.ask("/v1/apply", {
    method: "POST",
    body: Uint8Array.from(gzipSync(Buffer.alloc(100 * 1024 * 1024))),
    headers: { "content-type": YAML, "content-encoding": "gzip" },
  });

  expect(answer.status).toBe(415);
});

test.each([
  ...["../x", "-rf", "a/b", "A", "a_b", ".", "x".repeat(41), "a-", "😀", "\u202eabc", "_healthz"],
  ...["a.b", "1a", "a b", "shop\n", "api", "www", "con"],
])("no Pod makes an app of the name %j", async (name) => {
  const document = { apiVersion: "v1", kind: "Pod", metadata: { name }, spec: {} };

  const answer = await api.ask("/v1/apply", { method: "POST", json: document });

  expect(answer.status).toBe(422);
  expect(answer.body.errors.map((it: { pointer: string }) => it.pointer)).toContain(
    "/metadata/name",
  );
});

test.each([
  "/v1/apps/shop/events?limit=-1",
  "/v1/apps/shop/events?sort=name%22;drop",
  "/v1/apps/shop/events?cursor=djE6MScgb3IgMT0x",
  "/v1/apps/shop/releases?limit=1e9",
  "/v1/apps?sort=__proto__",
  "/v1/apps/shop/restart?dryRun=true",
])("%s is refused", async (path) => {
  await api.ask("/v1/apps/shop", { method: "PUT", json: { image: "nginx" } });

  const answer = await api.ask(path, { method: path.includes("restart") ? "POST" : "GET" });

  expect(answer.status).toBe(422);
  expect(answer.body.type).toBe("/problems/query-invalid");
});

test.each(["/v1/apps/www", "/v1/apps/api/war", "/v1/apps/.well-known"])(
  "PUT %s is refused for its name, before its body",
  async (path) => {
    const answer = await api.ask(path, { method: "PUT", body: "x" });

    expect(answer.status).toBe(422);
    expect(answer.body.errors).toMatchObject([{ pointer: "/name" }]);
  },
);

test.each([
  ["GET", "/v1/apps/a%00b"],
  ["DELETE", "/v1/apps/a%00b"],
  ["POST", "/v1/apps/a%00b/restart"],
  ["GET", "/v1/apps/a%00b/events"],
  ["GET", "/v1/volumes/a%00b"],
  ["DELETE", "/v1/volumes/a%00b"],
  ["DELETE", "/v1/secrets/a%00b"],
  ["DELETE", "/v1/config-maps/a%00b"],
])("%s %s names nothing that there is", async (method, path) => {
  expect((await api.ask(path, { method })).status).toBe(404);
});

test("a denied request is on record, whatever its path holds", async () => {
  const token = await aToken(api.db, {
    kind: "personal",
    project: api.project,
    scopes: ["app:read"],
  });

  const answer = await api.ask("/v1/apps/a%00b", { method: "DELETE", token });
  const rows = await api.db.execute(sql`select object from audit where result = 'denied'`);

  expect(answer.status).toBe(403);
  expect([...rows]).toEqual([{ object: "/v1/apps/a%00b" }]);
});

test("none of this left anything behind", async () => {
  const apps = await api.db.execute(sql`select name from apps`);

  expect([...apps]).toEqual([{ name: "shop" }]);
});
