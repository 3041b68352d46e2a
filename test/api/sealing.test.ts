import { randomUUID } from "node:crypto";
import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { boxCache } from "../../api/materials/box-cache.ts";
import { openKeyring } from "../../api/materials/sealing.ts";
import { parseKeyFile, SealingKeyError, secretsDoor } from "../../api/materials/secrets-door.ts";
import { ProjectId } from "../../contract/ids.ts";
import { A_KEY_FILE, keyLine, startApi } from "../support/api.ts";
import { apply, aSecret } from "../support/materials.ts";
import { freshDb } from "../support/postgres.ts";

async function keyring(text = A_KEY_FILE) {
  const [first, ...others] = parseKeyFile(text);
  if (!first) throw new Error("the key file is empty");
  return await openKeyring([first, ...others]);
}

const PLACE = { projectId: ProjectId.parse(randomUUID()), name: "db", version: 1 };
const CONTENT = new TextEncoder().encode("hunter2");

test("what is sealed opens at its own place, and nowhere else", async () => {
  const keys = await keyring();

  const sealed = await keys.seal(PLACE, CONTENT);

  expect(await keys.open(PLACE, sealed)).toEqual(CONTENT);
  for (const other of [
    { ...PLACE, version: 2 },
    { ...PLACE, name: "db2" },
    { ...PLACE, projectId: ProjectId.parse(randomUUID()) },
  ]) {
    await expect(keys.open(other, sealed)).rejects.toThrow();
  }
});

test("each version has a key of its own", async () => {
  const keys = await keyring();

  const [one, two] = [await keys.seal(PLACE, CONTENT), await keys.seal(PLACE, CONTENT)];

  expect(one.sealed).not.toEqual(two.sealed);
  expect(one.wrappedKey).not.toEqual(two.wrappedKey);
  const mixed = { ...one, wrappedKey: two.wrappedKey };
  await expect(keys.open(PLACE, mixed)).rejects.toThrow();
});

test("a new first line seals what is new, and the older one still opens what it sealed", async () => {
  const before = await keyring(keyLine("old", 1));
  const after = await keyring(keyLine("new", 2) + keyLine("old", 1));

  const [old, fresh] = [await before.seal(PLACE, CONTENT), await after.seal(PLACE, CONTENT)];

  expect([old.kid, fresh.kid]).toEqual(["old", "new"]);
  expect(await after.open(PLACE, old)).toEqual(CONTENT);
  await expect(before.open(PLACE, fresh)).rejects.toThrow('no sealing key "new"');
});

test.each([
  ["no base64", "k1:hello"],
  ["31 bytes", `k1:${Buffer.alloc(31).toString("base64")}`],
  ["33 bytes", `k1:${Buffer.alloc(33).toString("base64")}`],
  ["no name", `:${Buffer.alloc(32).toString("base64")}`],
  ["a name twice", keyLine("k1", 1) + keyLine("k1", 2)],
])("a key file with %s is refused, and its text is not repeated", (_what, text) => {
  const read = () => parseKeyFile(`# ours\n\n${text}\n`);

  expect(read).toThrow(SealingKeyError);
  expect(read).not.toThrow(/AAAA|hello/);
});

test("without a key and without a secret there is nothing to refuse", async () => {
  await using pg = await freshDb();

  expect(await secretsDoor(pg.db, undefined).unlock()).toBeUndefined();
  expect(await secretsDoor(pg.db, "# empty\n").unlock()).toBeUndefined();
});

test("keys that cannot read a secret are refused in words, and nothing is written", async () => {
  await using api = await startApi({ keyFile: keyLine("k1", 1) });
  await apply(api, [aSecret("db", { password: "a" })]);
  const rows = async () => [
    ...(await api.db.execute(sql`select kid, encode("check", 'hex') as it from sealing_keys`)),
    ...(await api.db.execute(sql`select kid, encode(wrapped_key, 'hex') as it from secrets`)),
  ];
  const before = await rows();
  const unlock = (text: string | undefined) => secretsDoor(api.db, text).unlock();

  await expect(unlock(undefined)).rejects.toThrow(/the key "k1".*Put the key file back/);
  await expect(unlock(keyLine("k2", 1))).rejects.toThrow(/the key "k1".*Nothing was changed/);
  await expect(unlock(keyLine("k1", 2))).rejects.toThrow(/"k1".*is not the one/);
  await expect(unlock(keyLine("k2", 3) + keyLine("k1", 2))).rejects.toThrow(/"k1".*is not the one/);
  expect(await rows()).toEqual(before);

  expect((await unlock(keyLine("k2", 2) + keyLine("k1", 1)))?.kids).toEqual(["k2", "k1"]);
  expect(await rows()).toHaveLength(before.length + 1);
});

test("a request meets keys that do not fit with a 503, and a right one is taken without a restart", async () => {
  await using api = await startApi({ keyFile: keyLine("k1", 1) });
  await apply(api, [aSecret("db", { password: "a" })]);
  const fitting = api.deps.secrets;
  Object.assign(api.deps, { secrets: secretsDoor(api.db, keyLine("k1", 2)) });

  const refused = await apply(api, [aSecret("db", { password: "a" })]);
  Object.assign(api.deps, { secrets: fitting });
  const taken = await apply(api, [aSecret("db", { password: "a" })]);

  expect(refused.status).toBe(503);
  expect(refused.body.type).toBe("/problems/secrets-unavailable");
  expect(refused.text).not.toContain("k1");
  expect(taken.body.applied).toMatchObject([{ version: 1, unchanged: true }]);
});

test("the cache of boxes stays within its bound and keeps what was asked for last", () => {
  const boxes = boxCache(10);
  for (const key of ["a", "b"]) boxes.put(key, "12345");
  boxes.get("a");

  boxes.put("c", "12345");
  boxes.put("a", "54321");

  expect([boxes.get("a"), boxes.get("b"), boxes.get("c")]).toEqual(["54321", undefined, "12345"]);
  boxes.put("d", "x".repeat(11));
  expect(["a", "c", "d"].map((key) => boxes.get(key))).toEqual([undefined, undefined, undefined]);
});
