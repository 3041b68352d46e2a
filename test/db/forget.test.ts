import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import type { TokenKind } from "../../contract/token.ts";
import { ensureProject } from "../../db/access/projects.ts";
import { forgetOld } from "../../db/apps/unsettled.ts";
import { forgetOldVersions } from "../../db/materials/forget.ts";
import { releases, tokens } from "../../db/schema/core.ts";
import { events } from "../../db/schema/history.ts";
import { aToken, startApi } from "../support/api.ts";
import { declare } from "../support/declared.ts";
import { joined } from "../support/joined.ts";
import { aConfigMap, aPodDocument, apply, aSecret, fromSecret } from "../support/materials.ts";
import { place } from "../support/place.ts";
import { freshDb } from "../support/postgres.ts";

test("what happened to a release is told for 90 days after its end, and as long as it runs", async () => {
  await using pg = await freshDb();
  const [ended, live] = [await declare(pg.db, "ended"), await declare(pg.db, "live")];
  const at = (ago: string) => sql`now() - ${ago}::interval`;
  await pg.db.update(events).set({ at: at("100 days") });
  await pg.db.update(releases).set({
    phase: sql`case when id = ${ended.release} then 'retired' else 'live' end`,
    phaseAt: at("89 days"),
  });

  await forgetOld(pg.db);
  expect(await pg.db.select().from(events)).toHaveLength(2);
  await pg.db.update(releases).set({ phaseAt: at("91 days") });
  await forgetOld(pg.db);

  expect((await pg.db.select().from(events)).map((it) => it.releaseId)).toEqual([live.release]);
});

test("a node's token is forgotten a month after its end, a person's never", async () => {
  await using pg = await freshDb();
  const project = await ensureProject(pg.db, "default");
  const ended = (kind: TokenKind, days: number) =>
    aToken(pg.db, { kind, project, lifeSeconds: -days * 86_400 });
  await ended("node", 31);
  await ended("node", 29);
  await ended("join", 31);
  await ended("personal", 31);

  await forgetOld(pg.db);

  const kinds = (await pg.db.select().from(tokens)).map((it) => it.kind);
  expect(kinds.toSorted()).toEqual(["node", "personal"]);
});

test("a version is forgotten once nobody can come to need it, and the newest never", async () => {
  await using api = await startApi();
  const versions = async () => {
    const rows = await api.db.execute<{ it: string }>(sql`
      select name || '.v' || version as it from config_maps
      union all select name || '.v' || version from secrets order by 1`);
    return rows.map(({ it }) => it);
  };
  const shop = aPodDocument("shop", fromSecret("key", "x"), {
    volumes: [{ name: "web", configMap: { name: "web" } }],
  });
  for (let at = 1; at <= 13; at++) {
    const unused = aConfigMap("unused", { at: `${Math.min(at, 2)}` });
    const used = [aConfigMap("web", { at: `${at}` }), aSecret("key", { x: `${at}` })];
    expect((await apply(api, [unused, ...used, shop])).status).toBe(200);
  }
  await api.db.execute(sql`update releases set phase = case
    when number = 13 then 'live' when number = 12 then 'failed' else 'retired' end`);
  const all = await versions();

  await forgetOldVersions(api.db);
  expect(await versions()).toEqual(all); // a release may just be made with any of them
  await api.db.execute(sql`update config_maps set created_at = now() - interval '2 hours'`);
  await api.db.execute(sql`update secrets set created_at = now() - interval '2 hours'`);
  await forgetOldVersions(api.db);

  const kept = [3, 4, 5, 6, 7, 8, 9, 10, 11, 13];
  const expected = ["unused.v2", ...["key", "web"].flatMap((it) => kept.map((v) => `${it}.v${v}`))];
  expect((await versions()).toSorted()).toEqual(expected.toSorted());
});

test("a version stays as long as a pod runs with it, also of an app that was removed", async () => {
  await using api = await startApi();
  const node = await joined(api);
  const used = (at: string) => [
    aSecret("key", { x: at }),
    aPodDocument("shop", fromSecret("key", "x")),
  ];
  await apply(api, used("1"));
  await place(api, "shop", node);
  await api.ask("/v1/apps/shop", { method: "DELETE" });
  await apply(api, [aSecret("key", { x: "2" })]);
  await api.db.execute(sql`update secrets set created_at = now() - interval '2 hours'`);
  const versions = async () =>
    (await api.db.execute<{ version: number }>(sql`select version from secrets order by 1`)).map(
      ({ version }) => version,
    );

  await forgetOldVersions(api.db);
  expect(await versions()).toEqual([1, 2]);
  await api.db.execute(sql`update pods set wanted = 'gone'`);
  await forgetOldVersions(api.db);

  expect(await versions()).toEqual([2]);
});
