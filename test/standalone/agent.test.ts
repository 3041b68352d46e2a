import { mkdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/free-port.ts";
import { anApp, deploy, podsOf, startsOf } from "../support/lab/an-app.ts";
import { type ControlPlane, startControlPlane } from "../support/lab/control-plane.ts";
import { leftovers } from "../support/leftovers.ts";
import { aProgram, type TestProgram } from "../support/program.ts";
import { visit } from "../support/visit.ts";

/* `npm run agent`, from joining to its end, beside a control plane that has no node of its own. */

const MAIN = join(import.meta.dirname, "../../standalone/agent/main.ts");
const stack = new AsyncDisposableStack();
const home = join(tmpdir(), "waybill-agent-test");
const dataDir = join(home, "node");
let controlPlane: ControlPlane;
let httpPort: number;

beforeAll(async () => {
  const dir = join(home, "control-plane");
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const at = { address: "127.0.0.1", port: await freePort() };
  controlPlane = stack.use(await startControlPlane(dir, at));
  httpPort = await freePort();
}, 60_000);
afterAll(async () => {
  await agent("down").ended();
  await stack.disposeAsync();
}, 60_000);

/** One call of the command in a data folder of the test's. */
function agent(...args: readonly string[]) {
  const argv = [MAIN, ...args, "--data-dir", dataDir];
  const program: TestProgram = aProgram({ program: process.execPath, argv, env: {} });
  const started = program.start();
  const says = (text: string) =>
    eventually(async () => expect(program.log()).toContain(text), { withinMs: 60_000 });
  return {
    says,
    said: program.log,
    stop: async () => {
      await program.end("SIGTERM");
      return program.child()?.exitCode;
    },
    ended: async () => {
      await started;
      await eventually(async () => expect(program.isRunning()).toBe(false), { withinMs: 60_000 });
      return program.child()?.exitCode;
    },
  };
}

const toHere = () => ["--api", controlPlane.url, "--http-port", String(httpPort)];
const page = () => visit({ address: "127.0.0.1", port: httpPort }, "web.localhost");
const itsPage = { status: 200, text: expect.stringContaining("garage") };
const starts = async () => startsOf(await podsOf(controlPlane, "web"));
const containerd = async () =>
  JSON.parse(await readFile(join(dataDir, "run/containerd.json"), "utf8"));

test("a token that the api does not take is told at once, and nothing is left running", async () => {
  const refused = agent(...toHere(), "--join", "wb_join_nonsense");

  expect(await refused.ended()).toBe(1);
  expect(refused.said()).toContain(
    `This host cannot join ${controlPlane.url}: the api answered 401 to the join token: This token is unknown`,
  );
  expect(await leftovers([`${dataDir}/`])).toEqual([]);
}, 60_000);

test("a host that cannot ask its api is told so while it goes on trying", async () => {
  const waiting = agent(
    "--api",
    "http://127.0.0.1:1",
    "--http-port",
    String(httpPort),
    "--join",
    "x",
  );

  await waiting.says(
    "api         not yet: the api cannot be asked: connect ECONNREFUSED 127.0.0.1:1",
  );

  expect(await waiting.stop()).toBe(0);
  expect(await leftovers([`${dataDir}/`])).toEqual([]);
}, 60_000);

/** Asks the api for something about nodes. */
async function ask(path: string, body: object) {
  const headers = { "content-type": "application/json" };
  return controlPlane.call("POST", path, { body: JSON.stringify(body), headers });
}
async function aToken(): Promise<string> {
  const { body } = await ask("/v1/nodes/join-tokens", { name: "garage" });
  return body.token as string;
}

test("a host joins with one command, serves through a restart of it, and ends with another", async () => {
  const first = agent(...toHere(), "--join", await aToken());
  await first.says(`This host is the node garage of ${controlPlane.url}.`);
  const answer = await deploy(controlPlane, anApp("web"));
  expect(answer).toMatchObject({ status: 200, body: { phase: "live" } });
  expect(await page()).toEqual(itsPage);
  const [before, runtime] = [await starts(), await containerd()];

  expect(await first.stop()).toBe(0);
  expect(await page()).toEqual(itsPage);
  await controlPlane.stop();
  const second = agent();
  await second.says("This host is the node garage");
  expect(second.said()).toMatch(/caddy +taken over[\s\S]*containerd +taken over/);
  expect(await containerd()).toEqual(runtime);
  expect(await page()).toEqual(itsPage);
  await controlPlane.start();
  expect(await starts()).toEqual(before);

  const { id } = JSON.parse(await readFile(join(dataDir, "host.json"), "utf8"));
  expect(await agent("down").ended()).toBe(0);
  expect(await second.stop()).toBe(0);
  expect(await leftovers([id, `${dataDir}/`])).toEqual([]);
}, 120_000);

test("a host that was fenced is told so at its next start, and joins anew with a new token", async () => {
  expect(await ask("/v1/nodes/garage/fence", { force: true })).toMatchObject({ status: 200 });

  const refused = agent("--join", "wb_join_used");
  await refused.says("This host is the node garage");
  await refused.says("But the api answered 401: ");
  await refused.says("To join anew, give it a new token with --join.");
  await refused.stop();
  const again = agent("--join", await aToken());
  await again.says("This host is the node garage");

  await eventually(async () => {
    const { body } = await controlPlane.call("GET", "/v1/nodes/garage");
    expect(body.status).toBe("ready");
  });
  expect(again.said()).not.toContain("But ");
  await again.stop();
}, 120_000);
