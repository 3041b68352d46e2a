import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { DesiredState } from "../../contract/node/protocol.ts";
import { openLedger } from "../../node-agent/disk/ledger.ts";
import { startApi, type TestApi } from "../support/api.ts";
import { joined } from "../support/joined.ts";
import { aPodDocument, apply, aSecret, fromSecret } from "../support/materials.ts";
import { place } from "../support/place.ts";

const CANARY = "canary-9f3b2c71-value";
const SHOWS = [
  CANARY,
  Buffer.from(CANARY).toString("base64").replace(/=+$/, ""),
  Buffer.from(CANARY).toString("hex"),
  createHash("sha256").update(CANARY).digest("hex"),
];

/** In which form the canary stands in a text, or in what is written in it as base64, or in that. */
function shown(text: string, depth = 2): readonly string[] {
  const found = SHOWS.filter((form) => text.includes(form));
  if (found.length > 0 || depth === 0) return found;
  const runs = text.match(/[A-Za-z0-9+/]{16,}={0,2}/g) ?? [];
  const inner = runs.map((run) => Buffer.from(run, "base64").toString("latin1")).join("\n");
  return shown(inner, depth - 1);
}

/** Every row of every table, as PostgreSQL writes it out. */
async function dump(api: TestApi): Promise<string> {
  const tables = await api.db.execute<{ name: string }>(
    sql`select tablename as name from pg_tables where schemaname = 'public'`,
  );
  const rows: string[] = [];
  for (const { name } of tables) {
    const table = sql.identifier(name);
    const found = await api.db.execute<{ row: string }>(
      sql`select ${table}::text as row from ${table}`,
    );
    rows.push(`${name}:`, ...found.map(({ row }) => row));
  }
  return rows.join("\n");
}

test("no value of a secret stands in the database, a log, an answer or a node's ledger", async () => {
  await using api = await startApi();
  const logged: unknown[] = [];
  const log = (...said: unknown[]) => void logged.push(said.map(String), JSON.stringify(said));
  Object.assign(api.deps.log, { info: log, warn: log, error: log });
  const node = await joined(api);
  const answers: string[] = [];
  const say = async (asked: Promise<{ text: string }>) => void answers.push((await asked).text);
  const secret = aSecret("db", { password: CANARY });
  const shop = aPodDocument("shop", fromSecret("db", "password"));

  await say(apply(api, [secret, shop], { headers: { "idempotency-key": "once" } }));
  await say(apply(api, [secret, shop], { headers: { "idempotency-key": "once" } }));
  await say(apply(api, [{ ...secret, stringData: { password: `${CANARY}2` } }]));
  await say(apply(api, [secret], { query: "?dryRun=true" }));
  await place(api, "shop", node);
  for (const wrong of [
    { ...secret, data: { raw: CANARY } },
    { ...secret, stringData: CANARY },
    { ...secret, stringData: { password: [CANARY] } },
    { ...secret, type: CANARY },
    { ...secret, metadata: { name: "db", annotations: { last: CANARY } } },
    { ...secret, immutable: CANARY },
  ]) {
    await say(apply(api, [wrong]));
  }
  for (const path of ["secrets", "config-maps", "apps", "apps/shop", "apps/shop/releases"]) {
    await say(api.ask(`/v1/${path}`));
  }
  for (const path of ["releases/1", "events"]) await say(api.ask(`/v1/apps/shop/${path}`));
  const desired = await api.ask("/v1/node/desired", { token: node.token });
  await say(Promise.resolve(desired));
  const ledger = await ledgerOf(DesiredState.parse(desired.body));
  await say(api.ask("/v1/secrets/db", { method: "DELETE" }));

  expect(DesiredState.parse(desired.body).secrets).toHaveLength(1);
  expect(ledger).toContain('"secrets":[{');
  const tables = await dump(api);
  expect(tables).toContain("secrets:");
  expect(shown(tables)).toEqual([]);
  expect(shown(answers.join("\n"))).toEqual([]);
  expect(shown(JSON.stringify(logged))).toEqual([]);
  expect(shown(ledger)).toEqual([]);
});

/** What an agent keeps on its disk of this wish. */
async function ledgerOf(wish: DesiredState): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "waybill-ledger-"));
  try {
    const path = join(folder, "ledger.json");
    const ledger = await openLedger(path, (_setAside, error) => {
      throw error;
    });
    await ledger.accept(wish, wish.node);
    return await readFile(path, "utf8");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
