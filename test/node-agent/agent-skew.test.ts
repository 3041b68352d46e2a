import { request } from "node:http";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, test } from "vitest";
import { PROTOCOL } from "../../contract/node/skew.ts";
import { eventually } from "../support/eventually.ts";
import { type MemoryHost, openMemoryHost } from "../support/memory-agent.ts";
import { type MemoryRuntime, openMemoryRuntime } from "../support/memory-runtime.ts";
import type { NodeApi } from "../support/node-api.ts";
import { A_DIGEST, aPod } from "../support/pods.ts";

/* The whole agent over a runtime in memory, and an api that speaks another protocol. */

const image = `waybill.internal/apps/web@${A_DIGEST}`;
let host: MemoryHost;
let api: NodeApi;
let runtime: MemoryRuntime;

beforeAll(async () => {
  host = await openMemoryHost();
  api = host.api;
  runtime = openMemoryRuntime([image, "waybill.internal/base/pause:1"]);
  host.startAgent(runtime);
});
afterAll(async () => {
  await host[Symbol.asyncDispose]();
});

const pod = aPod({ name: "web", image, container: { readinessProbe: undefined } });

async function running(): Promise<readonly string[]> {
  const { containers } = await runtime.list();
  return containers.filter((it) => it.state === "running").map((it) => it.id);
}

/** The agent has asked and been answered, at least so often. */
async function heard(times: number): Promise<void> {
  const before = api.answered();
  await eventually(() => expect(api.answered()).toBeGreaterThanOrEqual(before + times));
}

const said = (words: string) => host.said.filter((it) => it.includes(words));

/** What the agent says on its socket. */
function health(): Promise<Record<string, unknown>> {
  const { promise, resolve, reject } = Promise.withResolvers<Record<string, unknown>>();
  const asked = request({ socketPath: host.healthSocket, path: "/healthz" }, (answer) => {
    text(answer).then((it) => resolve(JSON.parse(it)), reject);
  });
  asked.on("error", reject).end();
  return promise;
}

/** A wish whose pod has a field that this agent does not know, as of a later version. */
const laterWish = () => {
  const spec = { ...pod.spec, securityProfile: "strict" };
  return JSON.stringify({
    ...{ node: api.node, generation: 1_000, routes: [] },
    pods: [{ ...pod, spec }],
  });
};

test("an agent tells what it speaks with every question", async () => {
  api.wish([pod]);
  await eventually(async () => expect(await running()).toHaveLength(1));
  await eventually(() => expect(api.reports[0]?.pods).toHaveLength(1));

  for (const path of ["join", "desired", "report"])
    expect(api.spoken().get(`/v1/node/${path}`)).toBe(String(PROTOCOL));
  expect(await health()).toMatchObject({ skew: null });
});

test("a wish of a later protocol is not taken in part; what runs goes on, and why is said once", async () => {
  const before = await running();

  api.speak(PROTOCOL + 1);
  api.answerWith({ status: 200, body: laterWish() });
  await heard(3);

  const words = `the api speaks protocol ${PROTOCOL + 1}, this agent ${PROTOCOL}: update Waybill on this host and start it again`;
  expect(said(words)).toHaveLength(1);
  expect(said("securityProfile")).toHaveLength(1);
  expect(await health()).toMatchObject({ skew: words, api: { because: expect.any(String) } });
  expect(await running()).toEqual(before);
  expect(api.reports[0]).toMatchObject({ observedGeneration: 1 });
});

test("an api that tells no number is an earlier one: its wishes are taken, and it is said once", async () => {
  const before = await running();

  api.answerWith(undefined);
  api.speak(undefined);
  api.wish([pod]);
  await eventually(() => expect(api.reports[0]).toMatchObject({ observedGeneration: 2 }));
  for (let generation = 3; generation < 5; generation++) {
    api.wish([pod]);
    await eventually(() =>
      expect(api.reports[0]).toMatchObject({ observedGeneration: generation }),
    );
  }

  expect(said(`the api speaks protocol 1, this agent ${PROTOCOL}`)).toHaveLength(1);
  expect(await running()).toEqual(before);
});

test("what a gateway says of an api that is away is nothing about what that speaks", async () => {
  api.speak(PROTOCOL);
  api.wish([pod]);
  await eventually(() => expect(said("speak the same protocol again")).toHaveLength(1));

  api.speak(undefined);
  api.answerWith({ status: 502, body: "<html>Bad gateway</html>" });
  await heard(2);

  expect(await health()).toMatchObject({ skew: null });
});
