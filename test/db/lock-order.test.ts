import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { AppId } from "../../contract/ids.ts";
import { PROTOCOL } from "../../contract/node/skew.ts";
import { insertToken, type NewToken, touchTokens } from "../../db/access/tokens.ts";
import { lockApps } from "../../db/apps/placements.ts";
import { renewRoutes } from "../../db/nodes/routes.ts";
import { storeReports } from "../../db/nodes/sight.ts";
import { bindVolumes } from "../../db/volumes/homes.ts";
import { anotherCaller } from "../support/another-caller.ts";
import { startApi, type TestApi } from "../support/api.ts";
import { aReport, joinedNode } from "../support/declared.ts";
import { eventually } from "../support/eventually.ts";
import { aPodDocument, apply, claiming } from "../support/materials.ts";

/** How often PostgreSQL ended a transaction so that another could go on; asked once all have said so. */
async function deadlocks(api: TestApi): Promise<number> {
  await api.db.execute(sql`select pg_stat_force_next_flush()`);
  const [row] = await api.db.execute<{ deadlocks: number }>(
    sql`select deadlocks::int from pg_stat_database where datname = current_database()`,
  );
  return row?.deadlocks ?? Number.NaN;
}

test("an app is declared anew while the scheduler gives its volume a node: neither gives way", async () => {
  await using api = await startApi();
  const shop = aPodDocument("shop", {}, claiming("data"));
  await apply(api, [shop]);
  const node = await joinedNode(api.db);
  const other = anotherCaller(api.db);
  const [app] = await api.db.execute<{ id: string }>(sql`select id from apps`);

  const placing = Promise.withResolvers<void>();
  const scheduled = api.db.transaction(async (tx) => {
    await lockApps(tx, [AppId.parse(app?.id)]);
    await placing.promise;
    await bindVolumes(tx, [{ project: api.project, name: "data", node }]);
  });
  const declared = apply(api, [aPodDocument("shop", { args: ["again"] }, claiming("data"))]);
  await other.untilSomebodyWaits();
  placing.resolve();

  await scheduled;
  expect((await declared).status).toBe(200);
  expect(await deadlocks(api)).toBe(0);
});

test("calls that name the same new volumes in another order do not wait in a circle", async () => {
  await using api = await startApi();
  const claims = (apps: readonly string[], volumes: readonly string[]) =>
    apply(
      api,
      apps.map((app, at) => aPodDocument(app, {}, claiming(volumes[at] ?? ""))),
    );

  for (const round of ["a", "b", "c", "d", "e"]) {
    const [one, two, three] = [`${round}1`, `${round}2`, `${round}3`];
    const answers = await Promise.all([
      claims([`${round}-a`, `${round}-b`, `${round}-c`], [one, two, three]),
      claims([`${round}-d`, `${round}-e`, `${round}-f`], [three, two, one]),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
  }

  await eventually(async () => expect(await deadlocks(api)).toBe(0));
});

test("a node is forgotten while a report of it is stored: neither gives way", async () => {
  await using api = await startApi();
  await joinedNode(api.db, "web-1");
  const other = anotherCaller(api.db);
  // As a report does: its row first, and once more when its address is another.
  const touch = sql`update node_status set seen_at = now()`;

  const removing = Promise.withResolvers<void>();
  const reported = api.db.transaction(async (tx) => {
    await tx.execute(touch);
    await removing.promise;
    await tx.execute(touch);
  });
  const removed = api.ask("/v1/nodes/web-1", { method: "DELETE" });
  await other.untilSomebodyWaits();
  removing.resolve();

  await reported;
  expect((await removed).status).toBe(200);
  expect(await deadlocks(api)).toBe(0);
});

test("nodes move while another tells the address that one of them moves to: neither gives way", async () => {
  await using api = await startApi();
  const [a, b] = [await joinedNode(api.db, "a"), await joinedNode(api.db, "b")];
  const other = anotherCaller(api.db);
  const moving = [a, b].map((node, at) => ({
    ...{ node, print: null, protocol: PROTOCOL },
    report: { ...aReport([]), address: `10.9.0.${at + 1}` },
  }));

  const renewing = Promise.withResolvers<void>();
  const told = api.db.transaction(async (tx) => {
    // As a report does: first the address, then the routes.
    const address = "address 10.9.0.2";
    await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(${address}, 0))`);
    await renewing.promise;
    await renewRoutes(tx);
  });
  const moved = storeReports(api.db, moving);
  await other.untilSomebodyWaits();
  renewing.resolve();

  await told;
  expect(await moved).toMatchObject([{ kind: "stored" }, { kind: "stored" }]);
  expect(await deadlocks(api)).toBe(0);
});

test("two processes note the use of the same tokens, whatever order they come upon them in", async () => {
  await using api = await startApi();
  const ids = ["z", "m", "a"];
  for (const id of ids) {
    const token = { id, kind: "service", projectId: api.project, nodeName: null, scopes: [] };
    const unused = { secretHash: new Uint8Array(32), last4: id, createdBy: "test" };
    await insertToken(api.db, { ...token, ...unused, lifeSeconds: null } as NewToken);
  }
  const other = anotherCaller(api.db);
  const ending = await other.hold((tx) =>
    tx.execute(sql`select from tokens where id = 'm' for update`),
  );

  const touched = ["enable_seqscan", "enable_indexscan"].map((way) =>
    api.db.transaction(async (tx) => {
      for (const off of [way, "enable_bitmapscan"])
        await tx.execute(sql`select set_config(${off}, 'off', true)`);
      await touchTokens(tx, ids);
    }),
  );
  await eventually(async () => expect(await waiting(api)).toBe(2));
  await ending();

  expect(await Promise.allSettled(touched)).toMatchObject([
    { status: "fulfilled" },
    { status: "fulfilled" },
  ]);
  expect(await deadlocks(api)).toBe(0);
});

/** How many statements of this database wait for a lock. */
async function waiting(api: TestApi): Promise<number> {
  const rows = await api.db.execute(sql`
    select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`);
  return rows.length;
}
