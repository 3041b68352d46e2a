import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { httpApi } from "../../api/http/app.ts";
import { connect } from "../../db/client.ts";
import { startApi } from "../support/api.ts";
import { joinedNode } from "../support/declared.ts";
import { startCluster } from "../support/postgres-cluster.ts";
import { startRegistry } from "../support/registry.ts";

test("readiness names everything that is missing, and is a 200 when an app could be deployed", async () => {
  await using registry = await startRegistry();
  await using alone = await startApi();
  await using api = await startApi({ registryUrl: registry.url });

  const missing = await alone.ask("/readyz", { token: null });
  await joinedNode(api.db);
  await api.db.execute(sql`insert into workers (id) values ('w')`);
  const ready = await api.ask("/readyz", { token: null });
  await api.db.execute(sql`update nodes set cordoned = true`);
  const cordoned = await api.ask("/readyz", { token: null });

  expect(missing.status).toBe(503);
  expect(missing.body.missing).toHaveLength(3);
  expect(ready.status).toBe(200);
  expect(cordoned.body.missing).toEqual([expect.stringContaining("no node")]);
});

test("metrics are Prometheus text", async () => {
  await using api = await startApi();

  const { text, headers } = await api.ask("/metrics", { token: null });

  expect(headers.get("content-type")).toContain("text/plain");
  for (const line of text.trim().split("\n")) {
    expect(line).toMatch(/^(# (HELP|TYPE) waybill_\w+ .+|waybill_\w+(\{\w+="\w+"\})? [\d.e+-]+)$/);
  }
});

test("without its database the api says so, answers health, and recovers by itself", async () => {
  await using cluster = await startCluster();
  await using api = await startApi();
  const connection = connect(`${cluster.url}/postgres`, { max: 2, name: "test" });
  try {
    const app = httpApi({ ...api.deps, db: connection.db });
    const ask = (path: string) =>
      app.request(path, { headers: { authorization: `Bearer ${api.token}` } });
    await cluster.kill();

    const apps = await ask("/v1/apps");
    const health = await ask("/healthz");
    const ready = await ask("/readyz");
    await cluster.start();
    const after = await ask("/v1/apps");

    expect(apps.status).toBe(503);
    expect((await apps.json()) as object).toMatchObject({
      type: "/problems/database-unavailable",
    });
    expect(health.status).toBe(200);
    expect(ready.status).toBe(503);
    // This database has no tables: what is asked of it is no longer a 503.
    expect(after.status).toBe(500);
  } finally {
    await connection.close();
  }
});
