import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Answer } from "../support/call-api.ts";
import { eventually } from "../support/eventually.ts";
import { helloWar } from "../support/hello-war.ts";
import { anInstallation, type Installation, type Part } from "../support/installation.ts";
import { leftovers } from "../support/leftovers.ts";

let waybill: Installation;
let version = 0;

beforeAll(async () => {
  waybill = await anInstallation();
  await waybill.start();
  expect(await waybill.putWar("shop", await nextWar(), "?wait=healthy&timeout=300")).toMatchObject({
    status: 200,
  });
}, 400_000);

afterAll(async () => {
  await waybill?.[Symbol.asyncDispose]();
}, 120_000);

const nextWar = async () => await helloWar(`fault ${++version}`);
const kill = async (part: Part) => process.kill(await waybill.pidOf(part), "SIGKILL");

/** The release that `declared` speaks of is live, has one pod, and what it shows is the newest version. */
async function endsWell(declared: Answer): Promise<void> {
  const { release } = declared.body;
  await eventually(
    async () => {
      const { body } = await waybill.call("GET", "/v1/apps/shop");
      expect(body).toMatchObject({
        live: release,
        wanted: release,
        pods: [{ ready: true, release, restarts: 0 }],
      });
      expect(await waybill.visit("shop")).toMatchObject({
        status: 200,
        text: expect.stringContaining(`fault ${version}`),
      });
    },
    { withinMs: 60_000, everyMs: 250 },
  );
}

async function phaseIs(release: unknown, ...phases: string[]): Promise<void> {
  await eventually(
    async () => {
      const { body } = await waybill.call("GET", `/v1/apps/shop/releases/${release}`);
      expect(phases).toContain(body.phase);
    },
    { withinMs: 20_000, everyMs: 10 },
  );
}

test("a worker killed in the middle of a build costs time and nothing else", {
  timeout: 120_000,
}, async () => {
  const declared = await waybill.putWar("shop", await nextWar());
  await phaseIs(declared.body.release, "building", "built");
  await kill("worker");

  await endsWell(declared);
});

test("an api killed under somebody who waits loses neither the release nor its end", {
  timeout: 120_000,
}, async () => {
  const before = await waybill.call("GET", "/v1/apps/shop");
  const waiting = waybill
    .putWar("shop", await nextWar(), "?wait=healthy")
    .catch((error: unknown) => error);
  await eventually(
    async () => {
      const { body } = await waybill.call("GET", "/v1/apps/shop");
      expect(body.wanted).toBe(Number(before.body.wanted) + 1);
    },
    { everyMs: 10 },
  );
  await kill("api");
  await waiting;

  await endsWell({ status: 200, body: { release: Number(before.body.wanted) + 1 } });
});

test("an agent killed between create and ready leaves one pod, not two", {
  timeout: 120_000,
}, async () => {
  const declared = await waybill.putWar("shop", await nextWar());
  await phaseIs(declared.body.release, "rolling");
  await kill("node-agent");

  await endsWell(declared);
});

test("FLUSHALL with a build queued loses nothing", { timeout: 120_000 }, async () => {
  process.kill(await waybill.pidOf("worker"), "SIGSTOP");
  const declared = await waybill.putWar("shop", await nextWar());
  const { ports, passwords } = JSON.parse(
    await readFile(join(waybill.dataDir, "installation.json"), "utf8"),
  );
  const redis = new Redis({ port: ports.redis, password: passwords.redis });
  await redis.flushall();
  redis.disconnect();
  process.kill(await waybill.pidOf("worker"), "SIGCONT");

  await endsWell(declared);
});

test("an app serves with the whole control plane away and its agent killed, and is adopted afterwards", {
  timeout: 180_000,
}, async () => {
  const before = await waybill.call("GET", "/v1/apps/shop");
  await waybill.interrupt();
  await kill("node-agent");

  for (let visit = 0; visit < 20; visit++) {
    expect(await waybill.visit("shop")).toMatchObject({ status: 200 });
  }
  await waybill.start();

  await eventually(async () => {
    const { body } = await waybill.call("GET", "/v1/apps/shop");
    expect(body.pods).toEqual(before.body.pods);
  });
  expect(await waybill.visit("shop")).toMatchObject({ status: 200 });
});

test("down leaves no process, mount, bridge, namespace or cgroup of the installation", {
  timeout: 120_000,
}, async () => {
  const { id } = JSON.parse(await readFile(join(waybill.dataDir, "installation.json"), "utf8"));
  await waybill.down();

  const traces = [waybill.dataDir, `waybill-${id}`, `wb-${id}`];
  expect(await leftovers(traces)).toEqual([]);
});
