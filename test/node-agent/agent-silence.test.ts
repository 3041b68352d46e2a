import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { type MemoryHost, openMemoryHost } from "../support/memory-agent.ts";
import { type MemoryRuntime, openMemoryRuntime } from "../support/memory-runtime.ts";
import type { NodeApi, RawAnswer } from "../support/node-api.ts";
import { A_DIGEST, aPod } from "../support/pods.ts";

/* The whole agent over a runtime in memory: nothing that an api may answer stops a pod, but a newer wish. */

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

const pods = ["web-1", "web-2"].map((name) =>
  aPod({ name, image, container: { readinessProbe: undefined } }),
);

async function running() {
  const { sandboxes, containers } = await runtime.list();
  return {
    sandboxes: sandboxes.filter((it) => it.ready).map((it) => it.id),
    containers: containers.filter((it) => it.state === "running").map((it) => it.id),
  };
}

async function settled() {
  await eventually(async () => expect((await running()).containers).toHaveLength(2));
  return running();
}

/** The agent has asked and been answered so, at least twice. */
async function heard(): Promise<void> {
  const before = api.answered();
  await eventually(() => expect(api.answered()).toBeGreaterThanOrEqual(before + 2), {
    withinMs: 10_000,
  });
}

const generation = () => api.reports[0]?.observedGeneration ?? 0;
const document = (said: object) =>
  JSON.stringify({ node: api.node, generation: 1_000, pods: [], routes: [], ...said });
const ok = (body: string, headers = {}): RawAnswer => ({ status: 200, body, headers });

/** The one that says what is known already, as far as the agent looks. */
const SAID_AGAIN = "the same generation with nothing in it";

const SILENCES: readonly [string, () => RawAnswer][] = [
  ["nothing", () => ok("")],
  ["an empty object", () => ok("{}")],
  ["an empty list", () => ok("[]")],
  ["null", () => ok("null")],
  ["pods and nothing else", () => ok('{"pods":[]}')],
  ["a page", () => ok("<html>Sign in</html>")],
  ["half a document", () => ({ ...ok(document({})), cutAt: 30 })],
  ["a connection that breaks", () => ({ ...ok(document({})), cutAt: 0 })],
  ["an older generation", () => ok(document({ generation: generation() - 1 }))],
  [SAID_AGAIN, () => ok(document({ generation: generation() }))],
  ["another node's document", () => ok(document({ node: randomUUID() }))],
  ["what only looks compressed", () => ok("\u001f\ufffd\b\0", { "content-encoding": "gzip" })],
  ["fifty megabytes", () => ok(`${document({})}${" ".repeat(50 * 1024 ** 2)}`)],
  ["a pod that is none", () => ok(document({ pods: [{ kind: "Pod" }] }))],
  ["no content", () => ({ status: 204, body: "" })],
  ["a redirect", () => ({ status: 302, body: "", headers: { location: "/" } })],
  ["a refusal", () => ({ status: 401, body: "{}" })],
  ["no such page", () => ({ status: 404, body: "{}" })],
  ["an error", () => ({ status: 500, body: document({}) })],
  ["a bad gateway", () => ({ status: 502, body: "<html>502</html>" })],
];

test("pods run once they are wished for", async () => {
  api.wish(pods);

  await settled();
  await eventually(() => expect(api.reports[0]?.pods.every((it) => it.ready)).toBe(true));
});

test.each(SILENCES)(
  "an api that answers %s stops nothing, and is heard again",
  async (what, answer) => {
    const before = await settled();
    const known = generation();
    const toldBefore = host.said.length;

    api.answerWith(answer());
    await heard();
    expect(await running()).toEqual(before);
    if (what !== SAID_AGAIN)
      expect(host.said.slice(toldBefore).join("")).toContain("no news from the api");
    api.answerWith(undefined);
    api.wish(pods);
    await eventually(() => expect(generation()).toBe(known + 1), { withinMs: 10_000 });

    expect(await running()).toEqual(before);
  },
);

test("an agent that is refused says in its log what to type", async () => {
  const toldBefore = host.said.length;

  api.answerWith({ status: 401, body: "{}" });
  await eventually(() =>
    expect(host.said.slice(toldBefore).join("")).toContain("npm run agent -- --join TOKEN"),
  );
  api.answerWith(undefined);
});

test("a newer wish is an order", async () => {
  api.wish(pods.slice(0, 1));

  await eventually(async () => expect((await running()).containers).toHaveLength(1));
});
