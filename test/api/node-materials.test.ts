import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { DesiredState, type JoinAnswer } from "../../contract/node/protocol.ts";
import { openSealed } from "../../kit/sealed-box.ts";
import { startApi, type TestApi } from "../support/api.ts";
import { aDigest } from "../support/declared.ts";
import { aNodeKey, joined, type NodeKey } from "../support/joined.ts";
import { aConfigMap, aPodDocument, apply, aSecret, fromSecret } from "../support/materials.ts";
import { place } from "../support/place.ts";

async function desired(api: TestApi, { token }: JoinAnswer): Promise<DesiredState> {
  return DesiredState.parse((await api.ask("/v1/node/desired", { token })).body);
}

async function opened(wish: DesiredState, key: NodeKey): Promise<Record<string, unknown>> {
  const all = wish.secrets.map(async ({ project, name, sealed }) => {
    const plain = await openSealed(key, Buffer.from(sealed, "base64"), `${project}/${name}`);
    return [name, JSON.parse(Buffer.from(plain).toString())] as const;
  });
  return Object.fromEntries(await Promise.all(all));
}

const base64 = (text: string) => Buffer.from(text).toString("base64");
const shop = aPodDocument("shop", fromSecret("db", "password"), {
  volumes: [{ name: "web", configMap: { name: "web" } }],
});
const shopAndAll = [
  aSecret("db", { password: "one", user: "me" }),
  aSecret("unused", { key: "x" }),
  aConfigMap("web", { "a.conf": "1" }),
  aConfigMap("unused", {}),
  shop,
];

test("a node gets what the releases of its own pods froze, sealed to its key, and nothing else", async () => {
  await using api = await startApi();
  const key = await aNodeKey();
  const node = await joined(api, "local", key.publicKey);
  const other = await joined(api, "other", (await aNodeKey()).publicKey);
  await apply(api, shopAndAll);
  await place(api, "shop", node);
  await apply(api, [aSecret("db", { password: "two" }), aConfigMap("web", { "a.conf": "2" })]);

  const wish = await desired(api, node);

  expect(wish.configMaps).toEqual([
    { project: "default", name: "web.v1", data: { "a.conf": "1" }, binary: {} },
  ]);
  expect(await opened(wish, key)).toEqual({
    "db.v1": { password: base64("one"), user: base64("me") },
  });
  expect(JSON.stringify(wish)).not.toContain(base64("one"));
  expect(await desired(api, other)).toMatchObject({ configMaps: [], secrets: [] });
});

test("two releases side by side have each its own version, and what no pod uses is no longer told", async () => {
  await using api = await startApi();
  const key = await aNodeKey();
  const node = await joined(api, "local", key.publicKey);
  await apply(api, shopAndAll);
  const first = await place(api, "shop", node);
  await apply(api, [aSecret("db", { password: "two" }), shop]);
  await place(api, "shop", node);

  const both = await desired(api, node);
  await api.db.execute(sql`update pods set wanted = 'gone' where id = ${first}`);
  const newer = await desired(api, node);
  await api.db.execute(sql`update pods set wanted = 'gone'`);
  const none = await desired(api, node);

  const names = (wish: DesiredState) => wish.secrets.map(({ name }) => name);
  expect([names(both), names(newer), names(none)]).toEqual([["db.v1", "db.v2"], ["db.v2"], []]);
  expect(await opened(both, key)).toMatchObject({
    "db.v1": { password: base64("one") },
    "db.v2": { password: base64("two") },
  });
  expect(none.configMaps).toEqual([]);
});

test("the same secret is sealed once for a node, however often it asks, and anew for a new key", async () => {
  await using api = await startApi();
  const [oldKey, newKey] = [await aNodeKey(), await aNodeKey()];
  const before = await joined(api, "local", oldKey.publicKey);
  await apply(api, shopAndAll);
  await place(api, "shop", before);

  const [one, two] = [await desired(api, before), await desired(api, before)];
  const after = await joined(api, "local", newKey.publicKey);
  const three = await desired(api, after);

  expect(two).toEqual(one);
  expect(three.generation).toBe(one.generation + 1);
  expect(await opened(three, newKey)).toHaveProperty(["db.v1"]);
  await expect(opened(three, oldKey)).rejects.toThrow();
});

test("a node that has told no key gets no secrets, and everything else", async () => {
  await using api = await startApi();
  const node = await joined(api);
  await apply(api, shopAndAll);
  await place(api, "shop", node);
  await api.db.execute(sql`update nodes set public_key = null`);

  const wish = await desired(api, node);

  expect(wish).toMatchObject({ secrets: [], configMaps: [{ name: "web.v1" }] });
  expect(wish.pods).toHaveLength(1);
});

test("a row that was moved under another name or changed does not open, and stops nothing else", async () => {
  await using api = await startApi();
  const warnings: unknown[] = [];
  Object.assign(api.deps.log, { warn: (...said: unknown[]) => warnings.push(said) });
  const key = await aNodeKey();
  const node = await joined(api, "local", key.publicKey);
  await apply(api, [
    ...["moved", "changed", "right"].map((name) => aSecret(name, { key: name })),
    aPodDocument("shop", {
      env: ["moved", "changed", "right"].map((name, at) => ({
        name: `V${at}`,
        valueFrom: { secretKeyRef: { name, key: "key" } },
      })),
    }),
  ]);
  await place(api, "shop", node);
  await api.db.execute(sql`
    update secrets set (wrapped_key, sealed) =
      (select wrapped_key, sealed from secrets where name = 'right') where name = 'moved'`);
  await api.db.execute(sql`
    update secrets set sealed = set_byte(sealed, 20, (get_byte(sealed, 20) + 1) % 256)
    where name = 'changed'`);

  const wish = await desired(api, node);

  expect(await opened(wish, key)).toEqual({ "right.v1": { key: base64("right") } });
  expect(wish.pods).toHaveLength(1);
  expect(warnings).toHaveLength(2);
});

test("the images of the release that serves and of the one before are to be kept, and no others", async () => {
  await using api = await startApi();
  const node = await joined(api);
  const digest = (n: number) => aDigest(String(n));
  for (const n of [1, 2, 3, 4]) await apply(api, [aPodDocument("shop", { args: [String(n)] })]);
  await api.db.execute(sql`
    update releases set phase = case number when 3 then 'live' when 4 then 'failed' else 'retired' end,
      images = jsonb_build_object('tool', 'base/tool@sha256:' || repeat(number::text, 64))`);
  await place(api, "shop", node);
  await apply(api, [aPodDocument("elsewhere")]);
  await api.db.execute(sql`
    update releases set phase = 'live', image_repository = 'apps/other', image_digest = ${digest(7)}
    where images is null`);

  const { keepImages } = await desired(api, node);

  expect(keepImages).toEqual([2, 3].map((n) => `waybill.internal/base/tool@${digest(n)}`));
});
