import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { AppId } from "../../contract/ids.ts";
import { lockApps } from "../../db/apps/placements.ts";
import { bindVolumes } from "../../db/volumes/homes.ts";
import { anotherCaller } from "../support/another-caller.ts";
import { startApi, type TestApi } from "../support/api.ts";
import { joinedNode } from "../support/declared.ts";
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
