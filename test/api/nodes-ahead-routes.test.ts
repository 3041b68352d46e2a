import { expect, test } from "vitest";
import { renewRoutes } from "../../db/nodes/routes.ts";
import { scheduleApp } from "../../worker/schedule/run.ts";
import { startApi } from "../support/api.ts";
import { backUp } from "../support/backup.ts";
import { aDigest, built, declare } from "../support/declared.ts";
import { holdingAgent } from "../support/holding-agent.ts";

/* Routes have a number of their own, which a restored database counts anew, too. */

test("a node whose own pods did not change since the backup takes the routes of the restored database", async () => {
  await using api = await startApi();
  const agents = [await holdingAgent(api, "node-a"), await holdingAgent(api, "node-b")];
  const shop = await declare(api.db, "shop", aDigest("a"), { replicas: 2 });
  await built(api.db, shop);
  for (const it of agents) await it.turn();
  await scheduleApp(api.db, shop.app);
  await renewRoutes(api.db);
  for (const it of agents) await it.turn();
  const restore = await backUp(api.pg);
  for (let turn = 0; turn < 7; turn++) await renewRoutes(api.db);
  for (const it of agents) await it.turn();
  const before = agents.map((it) => it.ledger());
  await restore();

  for (const [at, agent] of agents.entries()) {
    const answer = await agent.ask();

    expect(answer.status).toBe(200);
    expect(agent.ledger()).toEqual({ ...before[at], routing: 9 });
    expect((await agent.ask()).status).toBe(304);
  }

  await renewRoutes(api.db);
  for (const agent of agents) await agent.ask();
  expect(agents.map((it) => it.ledger()?.routing)).toEqual([10, 10]);
  expect(before.map((it) => it?.routing)).toEqual([8, 8]);
});
