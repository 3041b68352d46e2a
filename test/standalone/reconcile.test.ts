import { execFile } from "node:child_process";
import { join } from "node:path";
import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { startApi, type TestApi } from "../support/api.ts";
import { backUp } from "../support/backup.ts";
import { wishedUpTo } from "../support/declared.ts";
import { holdingAgent } from "../support/holding-agent.ts";

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

test("a word that it does not know, and an api that is not there, are said as what they are", async () => {
  const nowhere = { url: "http://127.0.0.1:9", token: "word" };

  expect(await run(nowhere, "--help")).toMatchObject({ code: 0, stderr: "" });
  expect((await run(nowhere, "--adpot")).stderr).toContain("'--adpot'");
  expect(await run(nowhere)).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/^http:\/\/127.0.0.1:9 cannot be reached: /),
  });
});
