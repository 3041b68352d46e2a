import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { eq } from "drizzle-orm";
import postgres from "postgres";
import { expect, inject, test } from "vitest";
import type { Pod } from "../../contract/pod/pod.ts";
import { podSpec } from "../../db/apps/pod-texts.ts";
import { connect } from "../../db/client.ts";
import { readFleet } from "../../db/nodes/fleet.ts";
import { pods, podTexts } from "../../db/schema/core.ts";
import { aPod } from "../support/pods.ts";

const MIGRATIONS = join(import.meta.dirname, "../../db/migrations");

/** Runs these migrations, as they are written. */
async function migrate(sql: postgres.Sql, isMeant: (file: string) => boolean): Promise<void> {
  const files = readdirSync(MIGRATIONS).filter((it) => it.endsWith(".sql") && isMeant(it));
  for (const file of files.toSorted()) {
    const text = readFileSync(join(MIGRATIONS, file), "utf8");
    for (const statement of text.split("--> statement-breakpoint")) await sql.unsafe(statement);
  }
}

test("pods from before texts were shared are told as they were, and ask what they asked", async () => {
  const server = inject("postgresUrl");
  const name = `test_${randomUUID().slice(0, 8)}`;
  const admin = postgres(`${server}/postgres`, { max: 1, onnotice: () => undefined });
  await admin.unsafe(`create database ${name}`);
  const sql = postgres(`${server}/${name}`, { max: 1, onnotice: () => undefined });
  const { db, close } = connect(`${server}/${name}`, { max: 2, name: "test" });
  await using stack = new AsyncDisposableStack();
  stack.defer(async () => {
    await close();
    await sql.end();
    await admin.unsafe(`drop database ${name} with (force)`);
    await admin.end();
  });
  await migrate(sql, (file) => file < "0009");
  const [project] = await sql`insert into projects (name) values ('default') returning id`;
  const [app] = await sql`
    insert into apps (project_id, name, spec, generation)
    values (${project?.id}, 'web', '{}', 2) returning id`;
  const made = await sql`
    insert into releases (app_id, number, generation, spec, created_by)
    values (${app?.id}, 1, 1, '{}', 'test'), (${app?.id}, 2, 2, '{}', 'test') returning id`;
  const [node] = await sql`insert into nodes (name) values ('a') returning id`;
  await sql`insert into node_plans (node_id) values (${node?.id})`;
  const [a, b, adopted, other] = [
    aPod({ name: "web-1-aaaaa", memory: "1Gi" }),
    aPod({ name: "web-1-bbbbb", memory: "1Gi" }),
    aPod({ name: "web-1-ccccc", memory: "1Gi", labels: { release: "2" } }),
    aPod({ name: "web-2-ddddd", memory: "2Gi", labels: { release: "2" } }),
  ];
  const of: readonly [Pod, unknown][] = [
    [a, made[0]?.id],
    [b, made[0]?.id],
    [adopted, made[1]?.id],
    [other, made[1]?.id],
  ];
  for (const [pod, release] of of)
    await sql`
      insert into pods (id, app_id, release_id, node_id, spec)
      values (${pod.metadata.uid}, ${app?.id}, ${release as string}, ${node?.id}, ${sql.json(pod)})`;

  await migrate(sql, (file) => file >= "0009");

  const told = await db
    .select({ spec: podSpec })
    .from(pods)
    .innerJoin(podTexts, eq(podTexts.id, pods.textId))
    .orderBy(pods.name);
  expect(told.map((it) => it.spec)).toEqual([a, b, adopted, other]);
  expect(await db.select().from(podTexts)).toHaveLength(3);
  const [view] = (await readFleet(db, [])).nodes;
  expect(view?.used).toEqual({ cpuMillis: 400, memoryBytes: 5 * 1024 ** 3, pods: 4 });
  expect(view?.tenants.map((it) => it.pod).toSorted()).toEqual(
    of.map(([pod]) => pod.metadata.uid).toSorted(),
  );
});
