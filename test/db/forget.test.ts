import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import type { TokenKind } from "../../contract/token.ts";
import { ensureProject } from "../../db/access/projects.ts";
import { forgetOld } from "../../db/apps/unsettled.ts";
import { releases, tokens } from "../../db/schema/core.ts";
import { events } from "../../db/schema/history.ts";
import { aToken } from "../support/api.ts";
import { declare } from "../support/declared.ts";
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
