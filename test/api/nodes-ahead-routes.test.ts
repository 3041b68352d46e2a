import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { wishTag } from "../../contract/node/protocol.ts";
import { renewRoutes } from "../../db/nodes/routes.ts";
import { scheduleApp } from "../../worker/schedule/run.ts";
import { startApi, type TestApi } from "../support/api.ts";
import { backUp } from "../support/backup.ts";
import { aDigest, built, declare } from "../support/declared.ts";
import { holdingAgent } from "../support/holding-agent.ts";
import { joined } from "../support/joined.ts";

/* Routes have a number of their own, which a restored database counts anew, too. */

async function renewed(api: TestApi, times: number): Promise<void> {
  for (let time = 0; time < times; time++) await renewRoutes(api.db);
}

test.each([
  ["counts below what nodes have", 0],
  ["has counted to just the number that nodes have", 7],
])(
  "nodes whose own pods did not change since the backup take the routes of a database that %s",
  async (_, times) => {
    await using api = await startApi();
    const agents = [await holdingAgent(api, "node-a"), await holdingAgent(api, "node-b")];
    const ledgers = () => agents.map((it) => it.ledger());
    const shop = await declare(api.db, "shop", aDigest("a"), { replicas: 2 });
    await built(api.db, shop);
    for (const it of agents) await it.turn();
    await scheduleApp(api.db, shop.app);
    await renewed(api, 1);
    for (const it of agents) await it.turn();
    const known = ledgers();
    const restore = await backUp(api.pg);
    await api.db.execute(sql`update node_status set address = '10.9.0.' || ascii(right(name, 1))
      from nodes where nodes.id = node_id`);
    await renewed(api, 7);
    for (const it of agents) await it.turn();
    const lost = ledgers();
    await restore();
    await renewed(api, times);

    for (const [at, agent] of agents.entries()) {
      const answer = await agent.ask();

      expect(answer.status).toBe(200);
      const routingMark = expect.any(String);
      expect(agent.ledger()).toEqual({ ...known[at], routing: 9, routingMark });
      expect((await agent.ask()).status).toBe(304);
    }

    await renewed(api, 1);
    for (const it of agents) await it.ask();
    expect(ledgers().map((it) => it?.routing)).toEqual([10, 10]);
    expect(lost).toMatchObject([
      { routing: 8, peers: ["10.9.0.98"] },
      { routing: 8, peers: ["10.9.0.97"] },
    ]);
  },
);

test("an agent that knows no mark of its routes goes by their number", async () => {
  await using api = await startApi();
  const { token } = await joined(api, "node-a");
  await renewed(api, 3);
  const answered = async (routing: number) => {
    const headers = { "if-none-match": wishTag({ generation: 0, routing }) };
    const { status, body } = await api.ask("/v1/node/desired?waitMs=0", { token, headers });
    return { status, routing: body?.routing };
  };

  expect(await answered(3)).toMatchObject({ status: 304 });
  expect(await answered(2)).toEqual({ status: 200, routing: 3 });
  expect(await answered(5)).toEqual({ status: 200, routing: 6 });
});
