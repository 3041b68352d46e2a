import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { parseAppSpec } from "../../contract/app/parse-app-spec.ts";
import { ensureProject } from "../../db/access/projects.ts";
import { declareApp } from "../../db/apps/apps.ts";
import { freezeMaterials } from "../../db/materials/materials.ts";
import { removeSecret } from "../../db/materials/secrets.ts";
import { anotherCaller } from "../support/another-caller.ts";
import { aToken, startApi, type TestApi } from "../support/api.ts";
import { aConfigMap, aPodDocument, apply, aSecret, fromSecret } from "../support/materials.ts";

const frozen = async (api: TestApi) =>
  [
    ...(await api.db.execute(sql`
      select apps.name as app, releases.number as release, releases.materials
      from releases join apps on apps.id = releases.app_id order by 1, 2`)),
  ].map((row) => ({ ...row }));

const secretNames = async (api: TestApi) =>
  (await api.ask("/v1/secrets")).body.secrets.map((it: { name: string }) => it.name);

test("the same content again is the same version, and another content the next", async () => {
  await using api = await startApi();

  const first = await apply(api, [aSecret("db", { password: "a" }), aConfigMap("web", { a: "1" })]);
  const same = await apply(api, [aSecret("db", { password: "a" }), aConfigMap("web", { a: "1" })]);
  const other = await apply(api, [aSecret("db", { password: "b" }), aConfigMap("web", { a: "2" })]);
  const back = await apply(api, [aSecret("db", { password: "a" })]);

  const answers = (version: number, unchanged: boolean) => [
    { kind: "Secret", name: "db", version, unchanged },
    { kind: "ConfigMap", name: "web", version, unchanged },
  ];
  expect(first.body).toEqual({ applied: answers(1, false) });
  expect(same.body).toEqual({ applied: answers(1, true) });
  expect(other.body).toEqual({ applied: answers(2, false) });
  expect(back.body.applied[0]).toMatchObject({ version: 3, unchanged: false });
});

test("an app may name a secret of the same call, whatever the order, and its release keeps the version", async () => {
  await using api = await startApi();
  const shop = aPodDocument("shop", fromSecret("db", "password"));

  const together = await apply(api, [shop, aSecret("db", { password: "a" })]);
  await apply(api, [aSecret("db", { password: "b" })]);
  const again = await apply(api, [shop]);
  const unchanged = await apply(api, [shop]);

  expect(together.body.applied).toMatchObject([
    { app: "shop", release: 1 },
    { kind: "Secret", name: "db", version: 1 },
  ]);
  expect(again.body.applied).toMatchObject([{ app: "shop", release: 2, unchanged: false }]);
  expect(unchanged.body.applied).toMatchObject([{ app: "shop", release: 2, unchanged: true }]);
  expect((await frozen(api)).map(({ materials }) => materials)).toEqual([
    { secrets: { db: 1 }, configMaps: {} },
    { secrets: { db: 2 }, configMaps: {} },
  ]);
});

test("what is missing is told with its place, unless it is optional, and nothing is taken", async () => {
  await using api = await startApi();
  const pod = aPodDocument("shop", fromSecret("db", "user"), {
    volumes: [
      { name: "web", configMap: { name: "web", items: [{ key: "b", path: "b" }] } },
      { name: "later", secret: { secretName: "later", optional: true } },
      { name: "gone", secret: { secretName: "gone" } },
    ],
  });
  const documents = [aSecret("db", { password: "a" }), aConfigMap("web", { a: "1" }), pod];

  const answer = await apply(api, documents);
  const planned = await apply(api, documents, { query: "?dryRun=true" });

  expect(answer.status).toBe(422);
  expect(answer.body.errors).toEqual([
    {
      pointer: "/2/spec/containers/0/env/0/valueFrom/secretKeyRef/key",
      message: 'the Secret "db" has no key "user" in its version 1',
    },
    {
      pointer: "/2/spec/volumes/0/configMap/items/0/key",
      message: 'the ConfigMap "web" has no key "b" in its version 1',
    },
    {
      pointer: "/2/spec/volumes/2/secret/secretName",
      message: expect.stringContaining('there is no Secret named "gone"'),
    },
  ]);
  expect(planned.body.errors).toEqual(answer.body.errors);
  expect(await secretNames(api)).toEqual([]);
});

test("mistakes of all documents are told at once, and a name stands once", async () => {
  await using api = await startApi();

  const answer = await apply(api, [
    aSecret("DB", {}),
    { ...aConfigMap("web", {}), data: { a: 1 } },
    aPodDocument("shop", { imge: "x" }),
    aSecret("db", {}),
    aSecret("db", {}),
  ]);

  expect(answer.status).toBe(422);
  expect(answer.body.errors.map((it: { pointer: string }) => it.pointer)).toEqual([
    "/0/metadata/name",
    "/1/data/a",
    "/2/spec/containers/0/imge",
    "/4/metadata/name",
  ]);
});

test("a dry run plans config maps, secrets and the apps that name them, and stores nothing", async () => {
  await using api = await startApi();
  await apply(api, [aSecret("db", { password: "a" })]);

  const planned = await apply(
    api,
    [
      aSecret("db", { password: "b" }),
      aSecret("new", { key: "x" }),
      aPodDocument("shop", fromSecret("new", "key")),
    ],
    { query: "?dryRun=true" },
  );

  expect(planned.body.applied).toMatchObject([
    { kind: "Secret", name: "db", version: 2, unchanged: false, dryRun: true },
    { kind: "Secret", name: "new", version: 1, unchanged: false, dryRun: true },
    { app: "shop", dryRun: true },
  ]);
  expect(await secretNames(api)).toEqual(["db"]);
  expect(await frozen(api)).toEqual([]);
});

test("lists tell names, versions, keys and users, and never a value", async () => {
  await using api = await startApi();
  await apply(api, [
    aSecret("db", { password: "hunter2", user: "me" }),
    aConfigMap("web", { "a.conf": "listen 80" }),
    aPodDocument("shop", fromSecret("db", "password")),
  ]);
  await apply(api, [aSecret("db", { password: "hunter3" })]);

  const secrets = await api.ask("/v1/secrets");
  const configMaps = await api.ask("/v1/config-maps");

  expect(secrets.body.secrets).toEqual([
    {
      name: "db",
      version: 2,
      keys: ["password"],
      mark: expect.stringMatching(/^[0-9a-f]{8}$/),
      createdAt: expect.any(String),
      apps: [{ app: "shop", version: 1 }],
    },
  ]);
  expect(configMaps.body.configMaps).toMatchObject([
    { name: "web", version: 1, keys: ["a.conf"], apps: [] },
  ]);
  expect(secrets.text + configMaps.text).not.toMatch(/hunter|aHVudGVy|listen/);
});

test("the mark is another for another content and for another secret of the same content", async () => {
  await using api = await startApi();
  const mark = async (name: string) => {
    const { secrets } = (await api.ask("/v1/secrets")).body;
    return secrets.find((it: { name: string }) => it.name === name).mark;
  };

  await apply(api, [aSecret("one", { key: "x" }), aSecret("two", { key: "x" })]);
  const [one, two] = [await mark("one"), await mark("two")];
  await apply(api, [aSecret("one", { key: "y" })]);

  expect(new Set([one, two, await mark("one")]).size).toBe(3);
});

test("what an app names stays, and says who; what none names goes, and comes back as a later version", async () => {
  await using api = await startApi();
  const shop = aPodDocument("shop", fromSecret("db", "password"));
  await apply(api, [aSecret("db", { password: "a" }), shop]);

  const used = await api.ask("/v1/secrets/db", { method: "DELETE" });
  await api.ask("/v1/apps/shop", { method: "DELETE" });
  const removed = await api.ask("/v1/secrets/db", { method: "DELETE" });
  const again = await api.ask("/v1/secrets/db", { method: "DELETE" });
  const back = await apply(api, [aSecret("db", { password: "z" })]);

  expect(used.status).toBe(409);
  expect(used.body).toMatchObject({ type: "/problems/still-used", apps: ["shop"] });
  expect(removed.body).toEqual({ name: "db", deleted: true });
  expect(again.status).toBe(404);
  // A node may still know the first version by its name.
  expect(back.body.applied[0]).toMatchObject({ version: 2 });
});

test("a secret that only the live release names is held as well", async () => {
  await using api = await startApi();
  await apply(api, [
    aSecret("db", { password: "a" }),
    aPodDocument("shop", fromSecret("db", "password")),
  ]);
  await api.db.execute(sql`update releases set phase = 'live'`);
  await apply(api, [aPodDocument("shop")]);

  const held = await api.ask("/v1/secrets/db", { method: "DELETE" });
  await api.db.execute(sql`update releases set phase = 'retired' where number = 1`);
  const free = await api.ask("/v1/secrets/db", { method: "DELETE" });

  expect([held.status, free.status]).toEqual([409, 200]);
});

test("two calls at once make one version each, one after the other", async () => {
  await using api = await startApi();
  const contents = ["a", "b", "c", "d"];

  const answers = await Promise.all(
    contents.map((password) => apply(api, [aSecret("db", { password })])),
  );

  const versions = answers.map(({ body }) => body.applied[0].version);
  expect(versions.sort()).toEqual([1, 2, 3, 4]);
});

test("an app that meets the removal of its secret is refused, and a removal that meets an app is", async () => {
  await using api = await startApi();
  const other = anotherCaller(api.db);
  const shop = aPodDocument("shop", fromSecret("db", "password"));
  await apply(api, [aSecret("db", { password: "a" })]);
  const spec = parseAppSpec(shop);
  if (!spec.ok) throw new Error("the document is right");

  const declared = await other.hold(async (tx) => {
    const { materials } = await freezeMaterials(tx, api.project, spec.value);
    await declareApp(tx, { project: api.project, spec: spec.value, materials, by: "other" });
  });
  const removing = api.ask("/v1/secrets/db", { method: "DELETE" });
  await other.untilSomebodyWaits();
  await declared();
  expect((await removing).status).toBe(409);

  await api.ask("/v1/apps/shop", { method: "DELETE" });
  const removed = await other.hold((tx) => removeSecret(tx, api.project, "db"));
  const declaring = apply(api, [shop]);
  await other.untilSomebodyWaits();
  await removed();
  expect((await declaring).status).toBe(422);
});

test("a Secret takes a scope of its own, and the refusal is on record", async () => {
  await using api = await startApi();
  const token = await aToken(api.db, {
    kind: "service",
    project: api.project,
    scopes: ["app:deploy"],
  });

  const configMap = await apply(api, [aConfigMap("web", { a: "1" })], { token });
  const secret = await apply(api, [aSecret("db", { password: "a" })], { token });

  expect(configMap.status).toBe(200);
  expect(secret.status).toBe(403);
  expect(secret.body.detail).toContain("secret:write");
  const denied = await api.db.execute(sql`select 1 from audit where result = 'denied'`);
  expect(denied).toHaveLength(1);
});

test("another project sees none of it, and what it removes is its own", async () => {
  await using api = await startApi();
  await apply(api, [aSecret("db", { password: "a" }), aConfigMap("web", {})]);
  const other = await ensureProject(api.db, "other");
  const token = await aToken(api.db, { kind: "personal", project: other });

  expect((await api.ask("/v1/secrets", { token })).body.secrets).toEqual([]);
  expect((await api.ask("/v1/config-maps", { token })).body.configMaps).toEqual([]);
  const removed = await api.ask("/v1/secrets/db", { method: "DELETE", token });
  const named = await apply(api, [aPodDocument("shop", fromSecret("db", "password"))], { token });
  expect(removed.status).toBe(404);
  expect(named.status).toBe(422);
});

test("each change is on record with the keyed mark and without a value", async () => {
  await using api = await startApi();
  await apply(api, [aSecret("db", { password: "a" }), aConfigMap("web", { a: "1" })]);
  await apply(api, [aSecret("db", { password: "a" })]);
  await api.ask("/v1/secrets/db", { method: "DELETE" });

  const rows = await api.db.execute(
    sql`select action, object, before, after from audit order by seq`,
  );

  expect([...rows]).toEqual([
    {
      action: "config-map.write",
      object: "config-map:web",
      before: null,
      after: expect.stringMatching(/^sha256:/),
    },
    {
      action: "secret.write",
      object: "secret:db",
      before: null,
      after: expect.stringMatching(/^mark:[0-9a-f]{8}$/),
    },
    { action: "secret.remove", object: "secret:db", before: "v1", after: null },
  ]);
});

test("an Idempotency-Key answers the repetition as the first time", async () => {
  await using api = await startApi();
  const headers = { "idempotency-key": "once" };
  const documents = [aSecret("db", { password: "a" }), aPodDocument("shop")];

  const first = await apply(api, documents, { headers });
  const again = await apply(api, documents, { headers });
  const other = await apply(api, [aSecret("db", { password: "b" })], { headers });

  expect(again.headers.get("idempotency-replayed")).toBe("true");
  expect(again.body).toEqual(first.body);
  expect(other.status).toBe(409);
});

test("without a key no Secret is taken, and everything else is", async () => {
  await using api = await startApi({ keyFile: undefined });

  const secret = await apply(api, [aSecret("db", { password: "a" })]);
  const configMap = await apply(api, [aConfigMap("web", { a: "1" })]);

  expect(secret.status).toBe(503);
  expect(secret.body.type).toBe("/problems/secrets-unavailable");
  expect(configMap.status).toBe(200);
});
