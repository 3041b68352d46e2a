import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { parseAppSpec } from "../../contract/app/parse-app-spec.ts";
import { DesiredState } from "../../contract/node/protocol.ts";
import { ensureProject } from "../../db/access/projects.ts";
import { declareApp } from "../../db/apps/apps.ts";
import { ensureVolumes } from "../../db/volumes/volumes.ts";
import { anotherCaller } from "../support/another-caller.ts";
import { aToken, startApi, type TestApi } from "../support/api.ts";
import { aReport } from "../support/declared.ts";
import { joined } from "../support/joined.ts";
import { aPodDocument, apply, claiming } from "../support/materials.ts";

const shop = aPodDocument("shop", {}, claiming("data"));

const volume = (api: TestApi, name = "data") => api.ask(`/v1/volumes/${name}`);
const remove = (api: TestApi, query = "", name = "data") =>
  api.ask(`/v1/volumes/${name}${query}`, { method: "DELETE" });
const restore = (api: TestApi, name = "data") =>
  api.ask(`/v1/volumes/${name}/restore`, { method: "POST" });

/** As the scheduler does with the first pod. */
async function bind(api: TestApi, node: string): Promise<void> {
  await api.db.execute(sql`update volumes set node_id = ${node}`);
  await api.db.execute(sql`update node_plans set generation = 7 where node_id = ${node}`);
}

test("a named volume comes to be with the first app that names it, and is shared by name", async () => {
  await using api = await startApi();

  await apply(api, [shop]);
  await apply(api, [shop, aPodDocument("blog", {}, claiming("data"))]);

  const { volumes } = (await api.ask("/v1/volumes")).body;
  expect(volumes).toEqual([
    {
      name: "data",
      state: "unbound",
      node: null,
      apps: ["blog", "shop"],
      createdAt: expect.any(String),
      removedAt: null,
    },
  ]);
  expect((await volume(api)).body).toEqual(volumes[0]);
});

test("a dry run makes no volume", async () => {
  await using api = await startApi();

  await apply(api, [shop], { query: "?dryRun=true" });

  expect((await api.ask("/v1/volumes")).body.volumes).toEqual([]);
});

test("a volume that an app names is not removed, and a purge is the second step", async () => {
  await using api = await startApi();
  await apply(api, [shop]);

  const used = await remove(api);
  await api.ask("/v1/apps/shop", { method: "DELETE" });
  const tooEarly = await remove(api, "?purge=true");
  const removed = await remove(api);
  const again = await remove(api);

  expect(used.status).toBe(409);
  expect(used.body).toMatchObject({ type: "/problems/still-used", apps: ["shop"] });
  expect(tooEarly.status).toBe(409);
  expect(tooEarly.body.type).toBe("/problems/volume-not-removed");
  expect(removed.body).toMatchObject({ name: "data", state: "removed" });
  expect(again.body).toEqual(removed.body);
});

test("no app may name a removed volume, until it is brought back", async () => {
  await using api = await startApi();
  await apply(api, [shop]);
  await api.ask("/v1/apps/shop", { method: "DELETE" });
  await remove(api);

  const refused = await apply(api, [shop]);
  const planned = await apply(api, [shop], { query: "?dryRun=true" });
  const restored = await restore(api);
  const taken = await apply(api, [shop]);

  expect(refused.status).toBe(422);
  expect(refused.body.errors).toEqual([
    {
      pointer: "/spec/volumes/0/persistentVolumeClaim/claimName",
      message: expect.stringContaining("/v1/volumes/data/restore"),
    },
  ]);
  expect(planned.body.errors).toEqual(refused.body.errors);
  expect(restored.body).toMatchObject({ state: "unbound", removedAt: null });
  expect(taken.status).toBe(200);
});

test("a volume that no node ever held is gone with the purge", async () => {
  await using api = await startApi();
  await apply(api, [shop]);
  await api.ask("/v1/apps/shop", { method: "DELETE" });
  await remove(api);

  const purged = await remove(api, "?purge=true");

  expect(purged.body).toEqual({ name: "data", purged: true });
  expect((await volume(api)).status).toBe(404);
});

test("a node is told to purge, once a person has said it twice, and its word ends it", async () => {
  await using api = await startApi();
  const node = await joined(api);
  const desired = async () =>
    DesiredState.parse((await api.ask("/v1/node/desired", { token: node.token })).body);
  const report = (generation: number, purgedVolumes: readonly object[], token = node.token) =>
    api.ask("/v1/node/report", {
      method: "POST",
      token,
      json: { ...aReport([], generation), purgedVolumes },
    });
  const data = { project: "default", name: "data" };
  await apply(api, [shop]);
  await bind(api, node.node);
  await api.ask("/v1/apps/shop", { method: "DELETE" });
  await remove(api);
  const before = await desired();
  await report(before.generation, [data]);

  const asked = await remove(api, "?purge=true");
  const told = await desired();
  const tooLate = await restore(api);
  const stranger = await joined(api, "other");
  await report(told.generation, [data], stranger.token);
  await report(before.generation, [data]);
  const still = await volume(api);
  await report(told.generation, [data, { project: "default", name: "nope" }]);

  expect(before.purgeVolumes).toEqual([]);
  expect(asked.body).toMatchObject({ state: "purging", node: "local" });
  expect(told.purgeVolumes).toEqual([data]);
  expect(told.generation).toBeGreaterThan(before.generation);
  expect(tooLate.status).toBe(409);
  expect(tooLate.body.type).toBe("/problems/volume-purging");
  expect(still.body.state).toBe("purging");
  expect((await volume(api)).status).toBe(404);
  const after = await desired();
  expect(after.purgeVolumes).toEqual([]);
  expect(after.generation).toBeGreaterThan(told.generation);
  const record = await api.db.execute(sql`
    select actor, action from audit where object = 'volume:data' order by seq`);
  expect([...record]).toEqual([
    { actor: expect.stringMatching(/^personal:/), action: "volume.remove" },
    { actor: expect.stringMatching(/^personal:/), action: "volume.purge" },
    { actor: "node:local", action: "volume.purged" },
  ]);
});

test("who may read apps may see volumes, and remove none", async () => {
  await using api = await startApi();
  await apply(api, [shop]);
  const token = await aToken(api.db, {
    kind: "personal",
    project: api.project,
    scopes: ["app:read"],
  });

  const list = await api.ask("/v1/volumes", { token });
  const one = await api.ask("/v1/volumes/data", { token });
  const removed = await api.ask("/v1/volumes/data", { method: "DELETE", token });

  expect([list.status, one.status, removed.status]).toEqual([200, 200, 403]);
});

test("another project's volume is not there", async () => {
  await using api = await startApi();
  await apply(api, [shop]);
  const other = await ensureProject(api.db, "other");
  const token = await aToken(api.db, { kind: "personal", project: other });

  for (const [path, method] of [
    ["/v1/volumes/data", "GET"],
    ["/v1/volumes/data", "DELETE"],
    ["/v1/volumes/data?purge=true", "DELETE"],
    ["/v1/volumes/data/restore", "POST"],
  ] as const) {
    const foreign = await api.ask(path, { method, token });
    const missing = await api.ask(path.replace("data", "nope"), { method, token });
    expect(foreign.status, path).toBe(404);
    expect(foreign.text).toBe(missing.text.replaceAll("nope", "data"));
  }
  expect((await api.ask("/v1/volumes", { token })).body.volumes).toEqual([]);
});

test("an app that meets the purge of its volume gets a volume, and one that meets its removal a refusal", async () => {
  await using api = await startApi();
  const other = anotherCaller(api.db);
  for (const [statement, status, volumes] of [
    ["delete from volumes", 200, 1],
    ["update volumes set removed_at = now()", 422, 1],
  ] as const) {
    await api.db.execute(sql`delete from apps`);
    await api.db.execute(sql`delete from volumes`);
    await api.db.execute(
      sql`insert into volumes (project_id, name) values (${api.project}, 'data')`,
    );
    const end = await other.hold((tx) => tx.execute(sql.raw(statement)));

    const applied = apply(api, [shop]);
    await other.untilSomebodyWaits();
    await end();

    expect((await applied).status, statement).toBe(status);
    expect((await api.ask("/v1/volumes")).body.volumes).toHaveLength(volumes);
  }
});

test("a removal that meets an app which is about to name the volume is refused", async () => {
  await using api = await startApi();
  const other = anotherCaller(api.db);
  await api.db.execute(sql`insert into volumes (project_id, name) values (${api.project}, 'data')`);
  const spec = parseAppSpec(shop);
  if (!spec.ok) throw new Error("the document is right");

  const declared = await other.hold(async (tx) => {
    await ensureVolumes(tx, api.project, [spec.value]);
    const materials = { secrets: {}, configMaps: {} };
    await declareApp(tx, { project: api.project, spec: spec.value, materials, by: "other" });
  });
  const removing = remove(api);
  await other.untilSomebodyWaits();
  await declared();

  expect((await removing).body).toMatchObject({ type: "/problems/still-used", apps: ["shop"] });
});
