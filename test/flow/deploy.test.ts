import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { helloWar } from "../support/hello-war.ts";
import { anInstallation, type Installation } from "../support/installation.ts";

let waybill: Installation;

beforeAll(async () => {
  waybill = await anInstallation();
  await waybill.start();
}, 240_000);

afterAll(async () => {
  await waybill?.[Symbol.asyncDispose]();
}, 120_000);

const WAIT = "?wait=healthy&timeout=300";

test("one request turns a WAR into a page that the ingress serves", {
  timeout: 300_000,
}, async () => {
  const answer = await waybill.putWar("shop", await helloWar("one"), WAIT);

  expect(answer).toMatchObject({
    status: 200,
    body: { app: "shop", release: 1, phase: "live", unchanged: false },
  });
  expect(await waybill.visit("shop")).toMatchObject({
    status: 200,
    text: expect.stringContaining("one"),
  });
  const { body: app } = await waybill.call("GET", "/v1/apps/shop");
  expect(app).toMatchObject({
    live: 1,
    wanted: 1,
    pods: [
      {
        phase: "Running",
        ready: true,
        restarts: 0,
        release: 1,
        node: "local",
        ip: expect.any(String),
      },
    ],
  });
});

test("the same WAR again is the same release: nothing is built and no byte is pushed", async () => {
  const before = await waybill.call("GET", "/v1/apps/shop/releases");

  const answer = await waybill.putWar("shop", await helloWar("one"), WAIT);

  expect(answer).toMatchObject({
    status: 200,
    body: { release: 1, unchanged: true, phase: "live" },
  });
  expect(await waybill.call("GET", "/v1/apps/shop/releases")).toEqual(before);
});

test("a changed WAR rolls over without a failed request", { timeout: 120_000 }, async () => {
  const seen: string[] = [];
  const failed: string[] = [];
  let rolling = true;
  const visitors = (async () => {
    while (rolling) {
      const visit = waybill.visit("shop").then(
        ({ status, text }) => (status === 200 ? seen.push(text) : failed.push(`${status} ${text}`)),
        (error: unknown) => failed.push(String(error)),
      );
      await Promise.race([visit, sleep(50)]);
      await sleep(25);
    }
  })();

  const answer = await waybill.putWar("shop", await helloWar("two"), WAIT);
  await sleep(4_000);
  rolling = false;
  await visitors;

  expect(answer).toMatchObject({ status: 200, body: { release: 2, phase: "live" } });
  expect(failed).toEqual([]);
  expect(seen.at(0)).toContain("one");
  expect(seen.at(-1)).toContain("two");
});

test("an app in a context path answers there, and people can watch it come up", {
  timeout: 120_000,
}, async () => {
  const answer = await fetch(
    `${waybill.apiUrl}/v1/apps/docs/war?contextPath=/docs/v2&wait=healthy&timeout=120`,
    {
      method: "PUT",
      body: await helloWar("docs"),
      headers: { authorization: `Bearer ${waybill.token}`, accept: "text/plain" },
    },
  );

  const lines = (await answer.text()).trim().split("\n");
  expect(lines.length).toBeGreaterThan(3);
  expect(lines.at(-1)).toContain(
    `live: release 1 of docs at http://docs.localhost:${waybill.httpPort}/docs/v2`,
  );
  expect(await waybill.visit("docs", "/docs/v2/")).toMatchObject({ status: 200 });
});

test("an app that is removed answers no more", { timeout: 60_000 }, async () => {
  const answer = await waybill.call("DELETE", "/v1/apps/docs?wait=gone&timeout=60");

  expect(answer).toMatchObject({ status: 200, body: { app: "docs", deleted: true } });
  expect((await waybill.visit("docs", "/docs/v2/")).status).not.toBe(200);
  expect((await waybill.call("GET", "/v1/apps/docs")).status).toBe(404);
  expect((await waybill.visit("shop")).status).toBe(200);
});
