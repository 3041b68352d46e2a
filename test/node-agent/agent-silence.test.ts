import { randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openLog } from "../../kit/log.ts";
import { runAgent } from "../../node-agent/agent.ts";
import { readAgentEnv } from "../../node-agent/env.ts";
import { removeCgroup } from "../../node-agent/host/cgroups.ts";
import { eventually } from "../support/eventually.ts";
import { type MemoryRuntime, openMemoryRuntime } from "../support/memory-runtime.ts";
import { type NodeApi, type RawAnswer, startNodeApi } from "../support/node-api.ts";
import { A_DIGEST, aPod } from "../support/pods.ts";

/* The whole agent over a runtime in memory: nothing that an api may answer stops a pod, but a newer wish. */

const image = `waybill.internal/apps/web@${A_DIGEST}`;
const cgroup = `/waybill-test-${randomUUID().slice(0, 8)}`;
const ending = new AbortController();
let folder = "";
let api: NodeApi;
let runtime: MemoryRuntime;
let agent: Promise<void>;
const said: string[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "waybill-test-silence-"));
  api = await startNodeApi();
  runtime = openMemoryRuntime([image, "waybill.internal/base/pause:1"]);
  await writeFile(join(folder, "join.token"), api.joinToken);
  const env = readAgentEnv({
    WAYBILL_API_URL: api.url,
    WAYBILL_AGENT_DIR: join(folder, "agent"),
    WAYBILL_JOIN_TOKEN_FILE: join(folder, "join.token"),
    CONTAINER_RUNTIME_ENDPOINT: "unix:///nowhere",
    WAYBILL_REGISTRY_HOSTS_DIR: join(folder, "hosts"),
    WAYBILL_CADDY_ADMIN: join(folder, "caddy.sock"),
    WAYBILL_INGRESS_SOCKET: join(folder, "ingress.sock"),
    WAYBILL_CGROUP_PARENT: cgroup,
    WAYBILL_AGENT_HEALTH: join(folder, "health.sock"),
  });
  const log = openLog("test", (line) => said.push(line));
  agent = runAgent(env, ending.signal, log, () => runtime);
});
afterAll(async () => {
  ending.abort();
  await agent;
  await api[Symbol.asyncDispose]();
  await removeCgroup(cgroup);
  await rm(folder, { recursive: true, force: true });
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
    said.length = 0;

    api.answerWith(answer());
    await heard();
    expect(await running()).toEqual(before);
    if (what !== SAID_AGAIN) expect(said.join("")).toContain("no news from the api");
    api.answerWith(undefined);
    api.wish(pods);
    await eventually(() => expect(generation()).toBe(known + 1), { withinMs: 10_000 });

    expect(await running()).toEqual(before);
  },
);

test("a newer wish is an order", async () => {
  api.wish(pods.slice(0, 1));

  await eventually(async () => expect((await running()).containers).toHaveLength(1));
});
