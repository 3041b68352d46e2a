import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import type { JoinAnswer } from "../../contract/node/protocol.ts";
import { openLog } from "../../kit/log.ts";
import { nodesPass } from "../../worker/nodes/run.ts";
import { startApi, type TestApi } from "../support/api.ts";
import { aReport } from "../support/declared.ts";
import { joined } from "../support/joined.ts";

/* How long a node's token lives, through the api and with the worker's looks at the nodes. */

/** The clock of the database goes on by so many hours, and nobody does anything meanwhile. */
async function clock(api: TestApi, hours: number): Promise<void> {
  const by = sql`${hours} * interval '1 hour'`;
  await api.db.execute(sql`update tokens set created_at = created_at - ${by},
    last_used_at = last_used_at - ${by}, expires_at = expires_at - ${by}
    where kind = 'node'`);
  await api.db.execute(sql`update node_status set seen_at = seen_at - ${by}`);
  await api.db.execute(sql`update node_sessions set seen_at = seen_at - ${by}`);
  await api.db.execute(
    sql`update control_plane set calm_since = calm_since - ${by}, last_pass_at = last_pass_at - ${by}`,
  );
}

/** The same while a worker looks at the nodes all the time, and hears of some. */
async function clockWhileHeard(api: TestApi, hours: number): Promise<void> {
  await clock(api, hours);
  await api.db.execute(sql`update control_plane set last_pass_at = now()`);
}

/** A worker looks at the nodes. */
const look = (api: TestApi) =>
  nodesPass({
    db: api.db,
    log: openLog("test"),
    replaceAfterMs: 300_000,
    ring: async () => undefined,
  })();

const report = async (api: TestApi, { token }: JoinAnswer): Promise<number> =>
  (await api.ask("/v1/node/report", { method: "POST", token, json: aReport([]) })).status;

const shown = async (api: TestApi, name: string) => (await api.ask(`/v1/nodes/${name}`)).body;

const hoursLeft = async (api: TestApi, name: string): Promise<number> => {
  const [row] = await api.db.execute<{ hours: number }>(sql`
    select round(extract(epoch from expires_at - now()) / 3600)::int as hours
    from tokens where kind = 'node' and node_name = ${name}`);
  return row?.hours ?? Number.NaN;
};

/** Two nodes that were heard of while a worker looked, an hour ago. */
async function aFleet(api: TestApi) {
  const [a, b] = [await joined(api, "a"), await joined(api, "b")];
  for (const node of [a, b]) await report(api, node);
  await look(api);
  await clockWhileHeard(api, 1);
  return { a, b };
}

test("nodes go on with their tokens after days without the control plane, before and after a worker looks", async () => {
  await using api = await startApi();
  const { a, b } = await aFleet(api);

  await clock(api, 96);
  expect(await report(api, a)).toBe(204);
  await look(api);

  expect([await hoursLeft(api, "a"), await hoursLeft(api, "b")]).toEqual([24, 23]);
  expect(await report(api, b)).toBe(204);
  expect(await hoursLeft(api, "b")).toBe(24);
});

test("of what was left to a token nothing is lost with the control plane, and nothing won", async () => {
  await using api = await startApi();
  const { a, b } = await aFleet(api);

  for (const hours of [5, 50, 0.2]) {
    await clock(api, hours);
    await report(api, a);
    await look(api);
  }
  expect(await hoursLeft(api, "b")).toBe(23);
  await clockWhileHeard(api, 22.9);
  expect((await shown(api, "b")).joinAnew).toBeNull();
  await clockWhileHeard(api, 0.2);

  expect(await report(api, b)).toBe(401);
});

test("a node that was away by itself for a day has to join anew, and hears and shows how", async () => {
  await using api = await startApi();
  const { a, b } = await aFleet(api);
  for (const _ of [1, 2]) {
    await clockWhileHeard(api, 12);
    await report(api, a);
    await look(api);
  }

  expect(await report(api, b)).toBe(401);
  expect(await shown(api, "a")).toMatchObject({ joinAnew: null, status: "ready" });
  const { joinAnew, status } = await shown(api, "b");
  expect(status).toBe("unreachable");
  expect(joinAnew).toContain('POST /v1/nodes/join-tokens {"name": "b"}');
  expect(joinAnew).toContain("npm run agent -- --join TOKEN");

  await clock(api, 96);
  expect(await report(api, b)).toBe(401);
  await report(api, a);
  await look(api);
  expect(await report(api, b)).toBe(401);

  const again = await joined(api, "b");
  expect(await report(api, again)).toBe(204);
  expect(await shown(api, "b")).toMatchObject({ joinAnew: null, status: "ready" });
});

test("while no node at all is heard of no token ends, whoever looks: what is away may be the way to the api", async () => {
  await using api = await startApi();
  const { a, b } = await aFleet(api);

  for (const _ of [1, 2, 3]) {
    await clock(api, 12);
    await look(api);
  }

  expect(await report(api, a)).toBe(204);
  await look(api);
  expect(await hoursLeft(api, "b")).toBe(23);
  expect(await report(api, b)).toBe(204);
});

test("what nobody has used for 30 days has ended, also while the control plane was away", async () => {
  await using api = await startApi();
  const { a, b } = await aFleet(api);

  await clock(api, 24 * 29);
  expect(await report(api, a)).toBe(204);
  await look(api);
  await clock(api, 24);

  expect(await report(api, b)).toBe(401);
  await report(api, a);
  await look(api);
  expect(await report(api, b)).toBe(401);
  expect((await shown(api, "b")).joinAnew).not.toBeNull();
});

test("a fenced node and one that was removed stay out, however long the control plane was away", async () => {
  await using api = await startApi();
  const { a, b } = await aFleet(api);
  const fenced = await api.ask("/v1/nodes/b/fence", { method: "POST", json: {} });
  const removed = await api.ask("/v1/nodes/a", { method: "DELETE" });
  expect([fenced.status, removed.status]).toEqual([200, 200]);

  await clock(api, 96);
  const before = [await report(api, a), await report(api, b)];
  await look(api);

  expect([...before, await report(api, a), await report(api, b)]).toEqual(Array(4).fill(401));
  expect((await shown(api, "b")).joinAnew).toContain("The token of b has ended");
});

test.each([2, 30])(
  "a clock that is %i hours ahead for a while ends no token, and calms nobody for longer",
  async (hours) => {
    await using api = await startApi();
    const { a, b } = await aFleet(api);

    await clock(api, hours);
    expect(await report(api, a)).toBe(204);
    await look(api);
    expect((await shown(api, "b")).joinAnew).toBeNull();
    await clock(api, -hours);
    expect((await shown(api, "b")).joinAnew).toBeNull();
    await report(api, a);
    await look(api);

    expect(await hoursLeft(api, "b")).toBe(23);
    expect(await report(api, b)).toBe(204);
    const [row] = await api.db.execute(
      sql`select calm_since <= now() as calms, last_pass_at <= now() as looked from control_plane`,
    );
    expect(row).toEqual({ calms: true, looked: true });
  },
);
