import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { PodId } from "../../contract/ids.ts";
import { scheduleApp } from "../../worker/schedule/run.ts";
import { startApi, type TestApi } from "../support/api.ts";
import { backUp } from "../support/backup.ts";
import { aDigest, aReport, built, declare, wishedUpTo } from "../support/declared.ts";
import { holdingAgent } from "../support/holding-agent.ts";
import { joined } from "../support/joined.ts";
import { aStatus } from "../worker/schedule/world.ts";

const RECONCILE = join(import.meta.dirname, "../../standalone/reconcile.ts");

/** Runs `npm run reconcile -- <words>` against this api. */
const run = (api: Pick<TestApi, "url" | "token">, ...words: readonly string[]) =>
  new Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }>(
    (resolve) => {
      const env = { WAYBILL_URL: api.url, WAYBILL_TOKEN: api.token };
      execFile(process.execPath, [RECONCILE, ...words], { env }, (error, stdout, stderr) =>
        resolve({ code: Number(error?.code ?? 0), stdout, stderr }),
      );
    },
  );

test("it shows what would become of a node that is ahead, and does it when it is told to", async () => {
  await using api = await startApi();
  const agent = await holdingAgent(api, "node-a");
  const restore = await backUp(api.pg);
  await wishedUpTo(api.db, 7);
  await agent.turn();
  await restore();
  await agent.turn();

  const shown = await run(api);
  const done = await run(api, "--adopt");
  const again = await run(api);

  expect(shown).toMatchObject({ code: 1, stderr: "" });
  expect(shown.stdout).toMatch(/^node-a holds generation 7 .*\n1 node to adopt: .* --adopt\n$/);
  expect(done.stdout).toContain(
    "node-a does as it is told from generation 8 on.\n1 node adopted.\n",
  );
  expect(again).toEqual({
    code: 0,
    stdout: "Every node does as this database says.\n",
    stderr: "",
  });
});

test("it vouches for no node that was not heard of, and says which those are", async () => {
  await using api = await startApi();
  const agent = await holdingAgent(api, "node-a");
  await agent.turn();
  await holdingAgent(api, "node-b");
  await api.db.execute(sql`update node_status set seen_at = now() - interval '1 minute'`);

  const unheard = await run(api);
  const adopting = await run(api, "--adopt");
  await agent.turn();
  const one = await run(api);
  await api.ask("/v1/nodes/node-b/fence", { method: "POST" });
  const fenced = await run(api);

  expect(unheard).toMatchObject({ code: 1, stderr: "" });
  expect(unheard.stdout).toContain(
    "Nothing is known of 2 nodes: node-a (unreachable), node-b (never-seen).",
  );
  expect(adopting).toEqual(unheard);
  expect([one.code, one.stdout]).toEqual([
    1,
    expect.stringMatching(/^Nothing is known of 1 node: node-b/),
  ]);
  expect(fenced).toMatchObject({ code: 0, stdout: "Every node does as this database says.\n" });
});

test("it names each node that has pods which the database does not know, and what to do", async () => {
  await using api = await startApi();
  const agent = await holdingAgent(api, "node-a");
  const restore = await backUp(api.pg);
  const shop = await declare(api.db, "shop", aDigest("a"));
  await built(api.db, shop);
  await agent.turn();
  await scheduleApp(api.db, shop.app);
  await agent.turn();
  const [pod] = agent.runs();
  await restore();
  await agent.turn();
  const joinedAnew = await joined(api, "node-b");
  const json = aReport([{ ...aStatus(PodId.parse(randomUUID())), name: "old-1-a" }]);
  await api.ask("/v1/node/report", { method: "POST", token: joinedAnew.token, json });

  const shown = await run(api);
  const done = await run(api, "--adopt");
  const again = await run(api);
  await api.ask("/v1/nodes/node-b/fence", { method: "POST", json: { force: true } });
  await api.db.execute(sql`update node_plans set adopted_at = null`);
  await agent.report();
  const later = await run(api);

  expect(shown).toMatchObject({ code: 1, stderr: "" });
  expect(shown.stdout).toContain(
    "node-b has pods that this database does not know: old-1-a. They run on until the first pod is placed there, or until you take them down: npm run agent -- down on that host.",
  );
  expect(shown.stdout).toContain(
    "1 node to adopt: npm run reconcile -- --adopt\nPods that this database does not know are on 1 node: node-b. Ask again when they are gone.\n",
  );
  const both = "Pods that this database does not know are on 2 nodes: node-a, node-b.";
  expect(done).toMatchObject({ code: 1, stderr: "" });
  expect(done.stdout).toContain(`${pod} ends: `);
  expect(done.stdout).toContain(`1 node adopted.\n${both}`);
  expect(again).toMatchObject({ code: 1, stderr: "" });
  expect(again.stdout).toContain(`${pod}. Its wish ends them`);
  expect(again.stdout).toContain(both);
  expect(later).toMatchObject({ code: 1, stderr: "" });
  expect(later.stdout).toContain(" are on 1 node: node-a.");
});

test("a node that cannot be adopted keeps no other from it, and is named at the end", async () => {
  await using api = await startApi();
  const agents = [await holdingAgent(api, "node-a"), await holdingAgent(api, "node-b")];
  for (const it of agents) await it.turn();
  const ahead = (generation: number) => JSON.stringify({ generation, mark: randomUUID() });
  await api.db.execute(sql`update node_status set ahead = case name
    when 'node-a' then ${ahead(10 ** 15 - 1)}::jsonb else ${ahead(7)}::jsonb end
    from nodes where nodes.id = node_id`);

  const done = await run(api, "--adopt");
  const again = await run(api, "--adopt");

  expect(done).toMatchObject({ code: 2, stdout: expect.stringMatching(/\n1 node adopted\.\n$/) });
  expect(done.stdout).toContain("node-b does as it is told from generation 8 on.");
  expect(done.stderr).toMatch(
    /^Something went wrong with 1 node:\n {2}node-a: node-a says .* 999999999999999 .*\n$/,
  );
  expect(again).toEqual({ code: 2, stdout: "", stderr: done.stderr });
});

test("a word that it does not know, and an api that is not there, are said as what they are", async () => {
  const nowhere = { url: "http://127.0.0.1:9", token: "word" };

  expect(await run(nowhere, "--help")).toMatchObject({ code: 0, stderr: "" });
  expect((await run(nowhere, "--adpot")).stderr).toContain("'--adpot'");
  expect(await run(nowhere)).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/^http:\/\/127.0.0.1:9 cannot be reached: /),
  });
});
