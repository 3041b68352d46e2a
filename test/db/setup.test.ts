import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { parseToken } from "../../contract/token.ts";
import { freshDb } from "../support/postgres.ts";

const main = new URL("../../db/main.ts", import.meta.url).pathname;

async function setUp(url: string, folder: string): Promise<void> {
  await promisify(execFile)(process.execPath, [main], {
    env: {
      DATABASE_URL: url,
      WAYBILL_ADMIN_TOKEN_FILE: join(folder, "admin.token"),
      WAYBILL_JOIN_TOKEN_FILE: join(folder, "agent", "join.token"),
    },
  });
}

async function tempFolder() {
  const path = await mkdtemp(join(tmpdir(), "waybill-setup-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

test("the administrator's token survives every restart, and only its owner can read it", async () => {
  await using pg = await freshDb();
  await using folder = await tempFolder();

  await setUp(pg.url, folder.path);
  const first = await readFile(join(folder.path, "admin.token"), "utf8");
  await setUp(pg.url, folder.path);

  expect(parseToken(first.trim())?.kind).toBe("personal");
  expect(await readFile(join(folder.path, "admin.token"), "utf8")).toBe(first);
  expect((await stat(join(folder.path, "admin.token"))).mode & 0o777).toBe(0o600);
  const rows = await pg.db.execute(sql`select id from tokens where kind = 'personal'`);
  expect(rows).toHaveLength(1);
});

test("the administrator's token gets the scopes that a later version brings", async () => {
  await using pg = await freshDb();
  await using folder = await tempFolder();
  await setUp(pg.url, folder.path);
  await pg.db.execute(sql`update tokens set scopes = '{app:read}' where kind = 'personal'`);

  await setUp(pg.url, folder.path);

  const rows = await pg.db.execute(sql`select scopes from tokens where kind = 'personal'`);
  expect(rows[0]?.scopes).toEqual(expect.arrayContaining(["app:read", "secret:write"]));
});

test("a crash after the token file was written and before the database knew it loses nothing", async () => {
  await using pg = await freshDb();
  await using other = await freshDb();
  await using folder = await tempFolder();

  await setUp(other.url, folder.path);
  await setUp(pg.url, folder.path);

  const token = parseToken((await readFile(join(folder.path, "admin.token"), "utf8")).trim());
  const rows = await pg.db.execute(sql`select id from tokens where kind = 'personal'`);
  expect(rows.map((row) => row.id)).toEqual([token?.id]);
});

test("each start leaves one join token that works, a new one", async () => {
  await using pg = await freshDb();
  await using folder = await tempFolder();
  const read = async () =>
    parseToken((await readFile(join(folder.path, "agent/join.token"), "utf8")).trim());

  await setUp(pg.url, folder.path);
  const first = await read();
  await setUp(pg.url, folder.path);
  const second = await read();

  expect(second?.id).not.toBe(first?.id);
  const live = await pg.db.execute(
    sql`select id, node_name from tokens where kind = 'join' and revoked_at is null`,
  );
  expect([...live]).toEqual([{ id: second?.id, node_name: "local" }]);
});

test("a token file with something else in it stops the start with a sentence, and is left alone", async () => {
  await using pg = await freshDb();
  await using folder = await tempFolder();
  await writeFile(join(folder.path, "admin.token"), "hello\n");

  await expect(setUp(pg.url, folder.path)).rejects.toThrow();

  expect(await readFile(join(folder.path, "admin.token"), "utf8")).toBe("hello\n");
});
