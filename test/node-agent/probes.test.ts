import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type RequestListener } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Probe } from "../../contract/pod/probe.ts";
import { openKeptVerdicts } from "../../node-agent/probes/kept-verdicts.ts";
import type { Probes, Verdict } from "../../node-agent/probes/verdict.ts";
import { openProbeWatch, type ProbeTarget } from "../../node-agent/probes/watch.ts";
import { type Runtime, RuntimeError } from "../../node-agent/runtime/runtime.ts";
import { eventually } from "../support/eventually.ts";

/* Real servers on loopback stand for the containers; commands are answered by the test. */

let stack = new AsyncDisposableStack();
let folder = "";
beforeEach(async () => {
  stack = new AsyncDisposableStack();
  folder = await mkdtemp(join(tmpdir(), "waybill-test-probes-"));
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
});
afterEach(() => stack.disposeAsync());

async function listening(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  stack.defer(async () => {
    server.close();
    if ("closeAllConnections" in server) (server.closeAllConnections as () => void)();
  });
  return (server.address() as AddressInfo).port;
}

const serving = (listener: RequestListener) => listening(createServer(listener));
const answering = (status: number, text = "") =>
  serving((_, answer) => answer.writeHead(status).end(text));

const noCommand: Runtime["execSync"] = () => Promise.reject(new Error("no command was expected"));

async function watching(execSync = noCommand) {
  const changes: number[] = [];
  const watch = openProbeWatch({
    execSync,
    kept: await openKeptVerdicts(join(folder, "verdicts.json"), () => undefined),
    onChange: () => changes.push(performance.now()),
    onError: (error) => {
      throw error;
    },
  });
  stack.defer(() => watch.close());
  return watch;
}

function target(said: Partial<Record<keyof Probes, object>> & Partial<ProbeTarget>): ProbeTarget {
  const { startup, readiness, liveness, ...rest } = said;
  const parsed = (probe: object | undefined) =>
    probe && Probe.parse({ periodSeconds: 1, ...probe });
  return {
    container: randomUUID(),
    ip: "127.0.0.1",
    ports: [],
    startedAtMs: Date.now(),
    foundRunning: false,
    probes: {
      startup: parsed(startup),
      readiness: parsed(readiness),
      liveness: parsed(liveness),
    },
    ...rest,
  };
}

async function verdictOf(said: Parameters<typeof target>[0], execSync = noCommand) {
  const watch = await watching(execSync);
  const one = target(said);
  watch.sync([one]);
  return (check: (verdict: Verdict | undefined) => void) =>
    eventually(() => check(watch.verdicts().get(one.container)), { withinMs: 8_000, everyMs: 10 });
}

type Kept = Readonly<Record<string, { readonly started: boolean; readonly ready: boolean }>>;

async function keptOnDisk(): Promise<Kept> {
  return JSON.parse(await readFile(join(folder, "verdicts.json"), "utf8")) as Kept;
}

test("a page is asked for by the port's name, with the headers that were said, at the pod's own address", async () => {
  const asked: IncomingMessage[] = [];
  const port = await serving((request, answer) => {
    asked.push(request);
    answer.end();
  });
  const httpHeaders = [
    { name: "Host", value: "shop.example" },
    { name: "X-Probe", value: "a" },
    { name: "x-probe", value: "b" },
  ];

  const verdict = await verdictOf({
    readiness: { httpGet: { path: "/up?deep=1", port: "web", httpHeaders } },
    ports: [{ name: "web", containerPort: port }],
  });

  await verdict((it) => expect(it?.ready).toBe(true));
  expect(asked[0]?.url).toBe("/up?deep=1");
  expect(asked[0]?.headers).toMatchObject({
    host: "shop.example",
    "x-probe": "a, b",
    "user-agent": "waybill-probe",
  });
});

test("a redirect is a good answer and is not followed, and an error is told with its first bytes", async () => {
  let followed = 0;
  const elsewhere = await serving((_, answer) => {
    followed += 1;
    answer.end();
  });
  const location = `http://127.0.0.1:${elsewhere}/`;
  const redirecting = await serving((_, answer) => answer.writeHead(302, { location }).end());
  const broken = await answering(503, `no \u001b[31mdatabase\n${"x".repeat(5_000)}`);

  const redirected = await verdictOf({ readiness: { httpGet: { port: redirecting } } });
  const failing = await verdictOf({ readiness: { httpGet: { port: broken } } });

  await redirected((it) => expect(it).toMatchObject({ ready: true, sight: { status: 302 } }));
  await failing((it) => {
    expect(it?.ready).toBe(false);
    expect(it?.failures[0]).toMatchObject({
      probe: "readiness",
      status: 503,
      latencyMs: expect.any(Number),
      excerpt: expect.stringMatching(/^no +\[31mdatabase x{100,190}$/),
    });
  });
  expect(followed).toBe(0);
});

test("a socket is ready when it accepts a connection, and soon after it begins to", async () => {
  const server = createTcpServer((socket) => socket.destroy());
  const port = await listening(server);
  server.close();
  await once(server, "close");
  const verdict = await verdictOf({ readiness: { tcpSocket: { port }, periodSeconds: 60 } });
  await verdict((it) =>
    expect(it?.failures[0]?.excerpt).toBe(`connection refused on port ${port}`),
  );

  server.listen(port, "127.0.0.1");

  await verdict((it) => expect(it?.ready).toBe(true));
});

test("a command is good when it ends with 0, and its output is told when it does not", async () => {
  const said = Buffer.from("no rows");
  const watch = await watching(async (container) => ({
    exitCode: container === "good" ? 0 : 3,
    stdout: said,
    stderr: Buffer.from("!"),
  }));
  const readiness = { exec: { command: ["check"] } };

  watch.sync(["good", "bad"].map((container) => target({ container, readiness })));

  await eventually(() => {
    expect(watch.verdicts().get("good")?.ready).toBe(true);
    expect(watch.verdicts().get("bad")).toMatchObject({
      ready: false,
      failures: [{ probe: "readiness", status: 3, excerpt: "!no rows" }],
    });
  });
});

test("a command that takes too long is a failure, and one that the runtime cannot ask is none", async () => {
  const failing =
    (code: string, words: string): Runtime["execSync"] =>
    () =>
      Promise.reject(new RuntimeError("ExecSync", code, new Error(words)));
  const liveness = { exec: { command: ["check"] }, failureThreshold: 1 };
  const missing = "unable to start container process: exec: not found";

  const late = await verdictOf({ liveness }, failing("DEADLINE_EXCEEDED", "context deadline"));
  const absent = await verdictOf({ liveness }, failing("UNKNOWN", missing));
  await late((it) =>
    expect(it).toMatchObject({
      kill: "liveness",
      failures: [{ excerpt: "no answer within 1 s" }],
    }),
  );
  await absent((it) => expect(it?.kill).toBe("liveness"));

  let asked = 0;
  const away: Runtime["execSync"] = () => {
    asked += 1;
    throw new RuntimeError("ExecSync", "UNAVAILABLE", new Error("connection refused"));
  };
  const unclear = await verdictOf({ liveness }, async (...call) => away(...call));
  await unclear((it) => {
    expect(asked).toBeGreaterThan(1);
    expect(it).toMatchObject({ ready: true, kill: undefined, failures: [] });
  });
});

test("nothing is asked before its delay is over, and liveness not before the startup probe has passed", async () => {
  const asked: string[] = [];
  let up = false;
  const port = await serving((request, answer) => {
    asked.push(request.url ?? "");
    answer.writeHead(up || request.url !== "/startup" ? 200 : 503).end();
  });
  const get = (path: string, said: object = {}) => ({ httpGet: { path, port }, ...said });

  const verdict = await verdictOf({
    startup: get("/startup"),
    readiness: get("/late", { initialDelaySeconds: 3 }),
    liveness: get("/alive"),
  });

  await verdict((it) => expect(it?.failures).toHaveLength(2));
  expect(new Set(asked)).toEqual(new Set(["/startup"]));
  up = true;
  await verdict(() => expect(asked).toContain("/alive"));
  expect(asked).not.toContain("/late");
  await verdict((it) => expect(it?.ready).toBe(true));
});

test("containers that never answer hold no other up", async () => {
  const hanging = await serving(() => undefined);
  const port = await answering(200);
  const watch = await watching();
  const slow = Array.from({ length: 50 }, () =>
    target({ readiness: { httpGet: { port: hanging }, timeoutSeconds: 5 } }),
  );
  const quick = target({ readiness: { httpGet: { port } } });

  watch.sync([...slow, quick]);

  await eventually(() => expect(watch.verdicts().get(quick.container)?.ready).toBe(true), {
    withinMs: 1_000,
  });
});

test("few commands are started at once, and those that hang give way to others", async () => {
  let running = 0;
  let most = 0;
  const execSync: Runtime["execSync"] = async (container) => {
    running += 1;
    most = Math.max(most, running);
    if (container.startsWith("hang")) await new Promise(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 20));
    running -= 1;
    return { exitCode: 0, stdout: new Uint8Array(), stderr: new Uint8Array() };
  };
  const readiness = { exec: { command: ["check"] }, timeoutSeconds: 60 };
  const named = (name: string, count: number) =>
    Array.from({ length: count }, (_, at) => target({ container: `${name}${at}`, readiness }));
  const watch = await watching(execSync);

  watch.sync([...named("quick", 40)]);
  await eventually(() => expect([...watch.verdicts().values()].every((it) => it.ready)).toBe(true));
  expect(most).toBeLessThanOrEqual(8);
  watch.sync([...named("hang", 8), ...named("other", 5)]);

  await eventually(() => expect(watch.verdicts().get("other4")?.ready).toBe(true));
});

test("a page is asked at its pace and no other once the container is ready", async () => {
  let asked = 0;
  const port = await serving((_, answer) => {
    asked += 1;
    answer.end();
  });
  const verdict = await verdictOf({ readiness: { httpGet: { port } } });
  await verdict((it) => expect(it?.ready).toBe(true));

  await new Promise((resolve) => setTimeout(resolve, 2_300));

  expect(asked).toBe(3);
});

test("a container found running keeps what an earlier agent knew of it", async () => {
  const port = await answering(200);
  const hanging = await serving(() => undefined);
  const first = await watching();
  const [up, down] = [port, hanging].map((it) => target({ readiness: { httpGet: { port: it } } }));
  if (!up || !down) throw new Error("two targets were made");
  first.sync([up, down]);
  await eventually(() => expect(first.verdicts().get(up.container)?.ready).toBe(true));
  await eventually(async () => expect((await keptOnDisk())[up.container]?.ready).toBe(true));
  first.close();

  const second = await watching();
  second.sync([up, down].map((it) => ({ ...it, foundRunning: true })));

  expect(second.verdicts().get(up.container)).toMatchObject({ started: true, ready: true });
  expect(second.verdicts().get(down.container)?.ready).toBe(false);
});

test("an agent that is killed in its first moments loses nothing of what was known before it", async () => {
  const port = await answering(200);
  const readiness = { httpGet: { port } };
  const [one, two] = [target({ readiness }), target({ readiness })];
  const first = await watching();
  first.sync([one, two]);
  await eventually(async () => expect((await keptOnDisk())[two.container]?.ready).toBe(true));
  first.close();

  const second = await watching();
  second.sync([{ ...one, foundRunning: true }, target({ readiness })]);
  await eventually(async () => expect(Object.keys(await keptOnDisk())).toHaveLength(3));

  expect((await keptOnDisk())[two.container]).toEqual({ started: true, ready: true });
});

test("where nothing was kept, what is found running goes on until its probes say otherwise", async () => {
  const port = await answering(503);
  const readiness = { httpGet: { port }, failureThreshold: 2 };

  const verdict = await verdictOf({ readiness, startup: readiness, foundRunning: true });

  await verdict((it) => {
    expect(it?.failures.length).toBeGreaterThan(0);
    if (it?.failures.length === 1) expect(it.ready).toBe(true);
  });
  await verdict((it) => expect(it).toMatchObject({ ready: false, started: true }));
});

test("a target that is no target any more is asked no more, and another start of it begins anew", async () => {
  let asked = 0;
  const port = await serving((_, answer) => {
    asked += 1;
    answer.end();
  });
  const watch = await watching();
  const one = target({ readiness: { httpGet: { port } } });
  watch.sync([one]);
  await eventually(() => expect(watch.verdicts().get(one.container)?.ready).toBe(true));

  watch.sync([]);
  const before = asked;
  await new Promise((resolve) => setTimeout(resolve, 1_200));

  expect(asked).toBe(before);
  expect(watch.verdicts().size).toBe(0);
});
