import { expect, test } from "vitest";
import { startApi, type TestApi } from "../support/api.ts";
import { joinedNode } from "../support/declared.ts";
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
