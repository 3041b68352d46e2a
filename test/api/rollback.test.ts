import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { forgetOldVersions } from "../../db/materials/forget.ts";
import { startApi, type TestApi } from "../support/api.ts";
import { aDigest, joinedNode } from "../support/declared.ts";
import { goesLive } from "../support/goes-live.ts";
import { aConfigMap, aPodDocument, apply, claiming } from "../support/materials.ts";
import { wantedPods } from "../worker/schedule/scheduled.ts";

const settings = (text: string) => aConfigMap("settings", { key: text });
const shop = (more: object = {}) => ({
  ...aPodDocument("shop", {
    env: [{ name: "A", valueFrom: { configMapKeyRef: { name: "settings", key: "key" } } }],
    ports: [{ containerPort: 80 }],
  }),
  ...more,
});

const post = (api: TestApi, path: string, json: object, key?: string) =>
  api.ask(`/v1/apps/shop/${path}`, {
    method: "POST",
    json,
    ...(key !== undefined && { headers: { "idempotency-key": key } }),
  });

const release = async (api: TestApi, n: number) =>
  (await api.ask(`/v1/apps/shop/releases/${n}`)).body;

test("a rollback is a new release, in everything what the old one was, and built already", async () => {
  await using api = await startApi();
  const node = await joinedNode(api.db);
  await apply(api, [settings("one"), shop()]);
  await goesLive(api, node, "c");
  await apply(api, [settings("two")]);
  await apply(api, [shop()]);
  await goesLive(api, node, "d");
  const [before] = await wantedPods(api.db);

  const answer = await post(api, "rollback", { to: 1 }, "once");
  const again = await post(api, "rollback", { to: 1 }, "once");

  expect(answer.status).toBe(200);
  expect(answer.body).toMatchObject({ release: 3, phase: "built", unchanged: false });
  expect(answer.body.digest).toBe(aDigest("c"));
  expect(again.body).toEqual(answer.body);
  const { body: differs } = await api.ask("/v1/apps/shop/releases/1/diff/3");
  expect(differs.changes).toEqual([]);
  const { body: undone } = await api.ask("/v1/apps/shop/releases/2/diff/3");
  expect(undone.changes).toEqual([
    {
      pointer: expect.stringMatching(/^\/images\//),
      from: expect.anything(),
      to: expect.anything(),
    },
    { pointer: "/materials/configMaps/settings", from: 2, to: 1 },
  ]);
  await goesLive(api, node);
  const [after] = await wantedPods(api.db);
  expect(await release(api, 3)).toMatchObject({
    phase: "live",
    materials: { configMaps: { settings: 1 } },
  });
  expect(after?.id).not.toBe(before?.id);
  expect(after?.spec.spec.containers[0]?.image).toContain(aDigest("c"));
  const events = (await api.ask("/v1/apps/shop/events?release=3")).body.events;
  expect(events[0].message).toBe("release 3 of shop is wanted: a rollback to release 1");
  const audit = await api.db.execute(sql`select object from audit where action = 'app.rollback'`);
  expect([...audit]).toEqual([{ object: "app:shop" }]);
});

test("a rollback to what serves changes nothing, and takes the place of what is under way", async () => {
  await using api = await startApi();
  const node = await joinedNode(api.db);
  await apply(api, [settings("one"), shop()]);
  await goesLive(api, node);
  const [pod] = await wantedPods(api.db);

  const same = await post(api, "rollback", { to: 1 });
  await apply(api, [{ ...shop(), spec: { ...shop().spec, hostname: "other" } }]);
  const back = await post(api, "rollback", { to: 1 });
  await goesLive(api, node);

  expect(same.body).toMatchObject({ release: 1, phase: "live", unchanged: true });
  expect(back.body).toMatchObject({ release: 3, phase: "built", unchanged: false });
  expect((await release(api, 3)).phase).toBe("live");
  expect((await wantedPods(api.db)).map((it) => it.id)).toEqual([pod?.id]);
});

test("what never served does not come back, and what is not all there neither: in words", async () => {
  await using api = await startApi();
  const node = await joinedNode(api.db);
  await apply(api, [settings("one"), shop()]);
  await goesLive(api, node);
  await apply(api, [settings("two"), shop()]);
  await goesLive(api, node);
  await apply(api, [{ ...shop(), spec: { ...shop().spec, hostname: "other" } }]);

  const pending = await post(api, "rollback", { to: 3 });
  await api.db.execute(sql`
    update releases set phase = 'failed', failure = '{"slug":"app-crashes","message":"x","log":[]}'
    where number = 3`);
  const failed = await post(api, "rollback", { to: 3 });
  await api.db.execute(sql`delete from config_maps where version = 1`);
  const forgotten = await post(api, "rollback", { to: 1 });
  const unknown = await post(api, "rollback", { to: 9 });
  const wrong = await post(api, "rollback", { to: "1", at: 2 });

  expect(pending.status).toBe(409);
  expect(pending.body.type).toBe("/problems/cannot-come-back");
  expect(pending.body.detail).toBe(
    "Release 3 of shop cannot come back: it never served, it is pending.",
  );
  expect(failed.body.detail).toBe(
    "Release 3 of shop cannot come back: it never served, it failed (app-crashes).",
  );
  expect(forgotten.status).toBe(409);
  expect(forgotten.body.detail).toBe(
    'Release 1 of shop cannot come back: version 1 of the ConfigMap "settings" is not kept any more.',
  );
  expect(unknown.status).toBe(404);
  expect(wrong.status).toBe(422);
  expect(wrong.body.errors.map((it: { pointer: string }) => it.pointer).sort()).toEqual([
    "/at",
    "/to",
  ]);
  expect((await api.ask("/v1/apps/shop")).body).toMatchObject({ live: 2, wanted: 2 });
});

test("the versions of what served are kept, so that it can come back", async () => {
  await using api = await startApi();
  const node = await joinedNode(api.db);
  await apply(api, [settings("one"), shop()]);
  await goesLive(api, node);
  await apply(api, [settings("two"), shop()]);
  await goesLive(api, node);
  await api.db.execute(sql`update config_maps set created_at = now() - interval '2 hours'`);

  await forgetOldVersions(api.db);
  const back = await post(api, "rollback", { to: 1 });

  expect(back.status).toBe(200);
});

test("a removed volume and a policy of today stand in the way of what they did not hinder then", async () => {
  await using api = await startApi({ config: { hostPolicy: { paths: ["/data"], ports: [] } } });
  const node = await joinedNode(api.db);
  const claims = aPodDocument("shop", { ports: [{ containerPort: 80 }] }, claiming("data"));
  await apply(api, [claims]);
  await goesLive(api, node);
  const folder = { volumes: [{ name: "data", hostPath: { path: "/data" } }] };
  await apply(api, [aPodDocument("shop", { ports: [{ containerPort: 80 }] }, folder)]);
  await goesLive(api, node);
  await apply(api, [aPodDocument("shop", { ports: [{ containerPort: 80 }] })]);
  await goesLive(api, node);
  await api.db.execute(sql`update volumes set removed_at = now()`);

  const removed = await post(api, "rollback", { to: 1 });
  Object.assign(api.deps.config.hostPolicy, { paths: [] });
  const refused = await post(api, "rollback", { to: 2 });

  expect(removed.status).toBe(422);
  expect(removed.body.errors).toMatchObject([
    {
      pointer: expect.stringMatching(/claimName$/),
      message: expect.stringContaining("was removed"),
    },
  ]);
  expect(refused.status).toBe(422);
  expect(refused.body.errors).toMatchObject([{ pointer: expect.stringMatching(/path$/) }]);
});
