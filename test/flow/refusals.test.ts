import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { helloWar } from "../support/hello-war.ts";
import { anInstallation, type Installation } from "../support/installation.ts";
import { residentKib } from "../support/resident.ts";
import { aWar, type TestEntry, zipOf } from "../support/wars.ts";

const MIB = 1024 * 1024;
const WAIT = "?wait=healthy&timeout=300";
let waybill: Installation;

beforeAll(async () => {
  waybill = await anInstallation({ WAYBILL_MAX_ARTIFACT: "400Mi" });
  await waybill.start();
  const answer = await waybill.putWar("shop", await helloWar("good"), WAIT);
  expect(answer).toMatchObject({ status: 200 });
}, 900_000);

afterAll(async () => {
  await waybill?.[Symbol.asyncDispose]();
}, 120_000);

const page: TestEntry = { name: "index.html", content: "hello" };

const REFUSED: readonly (readonly [slug: string, war: Uint8Array])[] = [
  ["war-not-zip", randomBytes(5_000)],
  ["war-truncated", aWar().subarray(0, aWar().length / 2)],
  ["war-path-escapes", zipOf([page, { name: "../../etc/passwd" }])],
  ["war-path-absolute", zipOf([page, { name: "/etc/cron.d/x" }])],
  ["war-duplicate-entry", zipOf([page, page])],
  ["war-symlink", zipOf([page, { name: "l", content: "/etc", mode: 0o120777 }])],
  ["war-bomb", zipOf([{ name: "bomb", content: Buffer.alloc(8 * MIB) }])],
  ["war-too-many-entries", zipOf(manyEntries(100_001), { zip64: true })],
  ["war-start-failed", zipOf([page, { name: "WEB-INF/web.xml", content: "<web-app><broken" }])],
  ["health-not-found", zipOf([{ name: "elsewhere.html", content: "not at /" }])],
];

test.each(REFUSED)(
  "%s ends a release in words, and the one that served goes on",
  { timeout: 120_000 },
  async (slug, war) => {
    const { status, body } = await waybill.putWar(
      "shop",
      new Uint8Array(war),
      "?wait=healthy&timeout=100",
    );

    expect({ status, ...body }).toMatchObject({
      status: 422,
      type: "/problems/release-failed",
      slug,
      reason: expect.stringMatching(/^.{20,}/),
    });
    expect(await waybill.visit("shop")).toMatchObject({
      status: 200,
      text: expect.stringContaining("good"),
    });
    expect((await waybill.call("GET", "/v1/apps/shop")).body).toMatchObject({
      live: 1,
      wanted: 1,
    });
  },
);

test("a web app that cannot start leaves its last log lines in the answer", {
  timeout: 120_000,
}, async () => {
  const war = zipOf([page, { name: "WEB-INF/web.xml", content: "<web-app><other" }]);

  const { body } = await waybill.putWar("shop", new Uint8Array(war), "?wait=healthy&timeout=100");

  expect(body).toMatchObject({ slug: "war-start-failed" });
  expect((body.log as string[]).join("\n")).toContain("web.xml");
});

test("no bytes, and more bytes than allowed, are refused before there is a release", async () => {
  const { body: before } = await waybill.call("GET", "/v1/apps/shop");

  expect(await waybill.putWar("shop", new Uint8Array())).toMatchObject({
    status: 422,
    body: { type: "/problems/artifact-empty" },
  });
  const tooLarge = await waybill.call("PUT", "/v1/apps/shop/war", {
    body: new Uint8Array(400 * MIB + 1),
  });
  expect(tooLarge).toMatchObject({ status: 413, body: { type: "/problems/artifact-too-large" } });

  expect((await waybill.call("GET", "/v1/apps/shop")).body.wanted).toBe(before.wanted);
});

test("a WAR of 300 MB passes through without staying in memory", { timeout: 240_000 }, async () => {
  const entries = Array.from({ length: 10 }, (_, at) => ({
    name: `downloads/${at}.bin`,
    content: randomBytes(30_000_000),
    method: 0,
  }));
  const war = new Uint8Array(zipOf([page, ...entries]));
  const peaks = await watchPeaks(["api", "worker"]);

  const answer = await waybill.putWar("large", war, "?wait=healthy&timeout=200");

  expect(answer).toMatchObject({ status: 200 });
  const grownMib = await peaks.grownMib();
  expect(grownMib.api).toBeLessThan(64);
  expect(grownMib.worker).toBeLessThan(128);
});

/** How far above its start each part's resident memory rose, at its highest, looking every 20 ms. */
async function watchPeaks(parts: readonly ("api" | "worker")[]) {
  const pids = await Promise.all(parts.map((part) => waybill.pidOf(part)));
  const first = await Promise.all(pids.map(residentKib));
  const peaks = [...first];
  const timer = setInterval(async () => {
    for (const [at, pid] of pids.entries())
      peaks[at] = Math.max(peaks[at] ?? 0, await residentKib(pid));
  }, 20);
  return {
    grownMib: async () => {
      clearInterval(timer);
      const grown = parts.map((part, at) => [part, ((peaks[at] ?? 0) - (first[at] ?? 0)) / 1024]);
      return Object.fromEntries(grown) as Record<"api" | "worker", number>;
    },
  };
}

function manyEntries(count: number): TestEntry[] {
  return Array.from({ length: count }, (_, at) => ({ name: `f/${at}`, method: 0 }));
}
