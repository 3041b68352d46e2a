import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type Health, serveHealth } from "../../node-agent/health.ts";
import { troubleSinceJoining } from "../../standalone/agent/joined.ts";
import { placesOf } from "../../standalone/places.ts";

const WELL: Health = {
  healthy: true,
  lastGoodPassAt: null,
  ledger: null,
  api: null,
  skew: null,
  confirmed: true,
  runtime: null,
};

/** What `npm run agent` says of a host that had joined, whose agent says this of itself. */
async function saidOf(health: Partial<Health>): Promise<string | undefined> {
  const folder = await mkdtemp(join(tmpdir(), "waybill-test-joined-"));
  const agentSocket = join(folder, "agent.sock");
  const server = await serveHealth(agentSocket, () => ({ ...WELL, ...health }));
  try {
    const places = { ...placesOf(folder, "test"), agentSocket };
    return await troubleSinceJoining(places, AbortSignal.timeout(10_000));
  } finally {
    server.close();
    await rm(folder, { recursive: true });
  }
}

test("nothing is said of a host that is told its work", async () => {
  expect(await saidOf({})).toBeUndefined();
});

test("a host whose checkout is not of the api's version says so when it starts", async () => {
  const skew = "the api speaks protocol 3, this agent 2: update Waybill on this host";

  expect(await saidOf({ skew })).toBe(`${skew}. Until then no new pods come here.`);
});

test("what the api has against a host comes with what helps", async () => {
  const api = { since: "2026-01-01T00:00:00Z", because: "the api answered 401" };

  expect(await saidOf({ confirmed: false, api })).toBe(
    "the api answered 401. What ran here goes on. To join anew, give it a new token with --join.",
  );
});
