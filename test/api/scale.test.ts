import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { AppId, ReleaseId } from "../../contract/ids.ts";
import type { Declared } from "../../db/apps/apps.ts";
import { scheduleApp } from "../../worker/schedule/run.ts";
import { startApi, type TestApi } from "../support/api.ts";
import { aDigest, built, joinedNode } from "../support/declared.ts";
import { goesLive } from "../support/goes-live.ts";
import { aConfigMap, aPodDocument, apply } from "../support/materials.ts";
import { wantedPods } from "../worker/schedule/scheduled.ts";

const settings = (text: string) => aConfigMap("settings", { key: text });
const shop = aPodDocument("shop", {
  env: [{ name: "A", valueFrom: { configMapKeyRef: { name: "settings", key: "key" } } }],
  ports: [{ containerPort: 80 }],
});

const scale = (api: TestApi, replicas: unknown, key?: string) =>
  api.ask("/v1/apps/shop/scale", {
    method: "POST",
    json: { replicas },
    ...(key !== undefined && { headers: { "idempotency-key": key } }),
  });
const podIds = async (api: TestApi) => (await wantedPods(api.db)).map((it) => it.id);

test("more pods, then fewer: those that stay run on, with what they were made of", async () => {
  await using api = await startApi();
  const node = await joinedNode(api.db);
  await apply(api, [settings("one"), shop]);
  await goesLive(api, node, "c");
  const [first] = await podIds(api);
  await apply(api, [settings("two")]);

  const up = await scale(api, 3, "up");
  const again = await scale(api, 3, "up");
  await goesLive(api, node);
  const three = await podIds(api);
  const same = await scale(api, 3);
  const down = await scale(api, 1);
  await goesLive(api, node);

  expect(up.body).toMatchObject({ release: 2, phase: "built", unchanged: false });
  expect(again.body).toEqual(up.body);
  expect(three).toHaveLength(3);
  expect(three).toContain(first);
  expect(same.body).toMatchObject({ release: 2, phase: "live", unchanged: true });
  expect(down.body).toMatchObject({ release: 3, unchanged: false });
  expect(three).toContain((await podIds(api))[0]);
  expect(await podIds(api)).toHaveLength(1);
  const { body } = await api.ask("/v1/apps/shop/releases/1/diff/2");
  expect(body.changes).toEqual([{ pointer: "/replicas", from: 1, to: 3 }]);
  const { events } = (await api.ask("/v1/apps/shop/events?release=2")).body;
  expect(events[0].message).toBe("release 2 of shop is wanted: a scale to 3");
});

test("before its first build an app is declared anew; nonsense is refused with its place", async () => {
  await using api = await startApi();
  await apply(api, [settings("one"), shop]);

  const scaled = await scale(api, 2);
  const refused = await Promise.all([scale(api, 101), scale(api, -1), scale(api, undefined)]);
  const unknown = await api.ask("/v1/apps/nope/scale", { method: "POST", json: { replicas: 1 } });

  expect(scaled.body).toMatchObject({ release: 2, phase: "pending" });
  for (const answer of refused) {
    expect(answer.status).toBe(422);
    expect(answer.body.errors).toMatchObject([{ pointer: "/replicas" }]);
  }
  expect(unknown.status).toBe(404);
});

test("more pods of what is rolling out are a release that takes its place; of a removed app there are none", async () => {
  await using api = await startApi();
  const node = await joinedNode(api.db);
  await apply(api, [settings("one"), shop]);
  await goesLive(api, node, "c");
  const [served] = await podIds(api);
  await apply(api, [{ ...shop, spec: { ...shop.spec, hostname: "other" } }]);
  await goesRolling(api);

  const up = await scale(api, 2, "up");
  const again = await scale(api, 2, "up");
  const other = await scale(api, 3, "up");
  const rolled = await api.ask("/v1/apps/shop/releases/2");
  await goesLive(api, node);

  expect(up.body).toMatchObject({ release: 3, phase: "built", unchanged: false });
  expect(again.body).toEqual(up.body);
  expect(other.body.type).toBe("/problems/idempotency-key-reused");
  expect(rolled.body.phase).toBe("rolling");
  const { body: changes } = await api.ask("/v1/apps/shop/releases/2/diff/3");
  expect(changes.changes).toEqual([{ pointer: "/replicas", from: 1, to: 2 }]);
  expect((await api.ask("/v1/apps/shop/releases/2")).body).toMatchObject({
    phase: "superseded",
    supersededBy: 3,
  });
  expect(await podIds(api)).not.toContain(served);
  const back = await api.ask("/v1/apps/shop/rollback", { method: "POST", json: { to: 2 } });
  expect(back.status).toBe(409);
  expect(back.body.detail).toBe(
    "Release 2 of shop cannot come back: it never served, it is superseded.",
  );
  await api.ask("/v1/apps/shop", { method: "DELETE" });
  const bodies = { scale: { replicas: 1 }, rollback: { to: 1 }, restart: undefined };
  for (const [path, json] of Object.entries(bodies)) {
    const asked = await api.ask(`/v1/apps/shop/${path}`, { method: "POST", ...(json && { json }) });
    expect(asked.status, path).toBe(404);
  }
});

/** The newest release is built, and its first pod is placed. */
async function goesRolling(api: TestApi): Promise<void> {
  const [row] = await api.db.execute<{ id: string; app: string }>(
    sql`select id, app_id as app from releases order by created_at desc limit 1`,
  );
  const release = ReleaseId.parse(row?.id);
  const images = { [`base/tool@${aDigest("c")}`]: `apps/default/shop@${aDigest("c")}` };
  await built(api.db, { release } as Declared, aDigest("c"), { images, httpPort: 80 });
  await scheduleApp(api.db, AppId.parse(row?.app));
}
