import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { PodStatus } from "../../contract/node/protocol.ts";
import { Pod } from "../../contract/pod/pod.ts";
import { exec } from "../../kit/exec.ts";
import { sealTo } from "../../kit/sealed-box.ts";
import { openCri } from "../../node-agent/runtime/cri.ts";
import type { Runtime } from "../../node-agent/runtime/runtime.ts";
import { eventually } from "../support/eventually.ts";
import { startNode, type TestNode } from "../support/node.ts";
import { aPod, aRoute } from "../support/pods.ts";

/* What may happen to an agent in its years on a host: one host, and everything happens to it. */

let node: TestNode;
let runtime: Runtime;
let image = "";

beforeAll(async () => {
  node = await startNode();
  runtime = openCri(node.containerd.endpoint, node.containerd.installation);
  image = `waybill.internal/apps/web@${node.busybox.digest}`;
  await node.startAgent();
  await eventually(() => expect(node.api.joins()).toBe(1));
});
beforeEach(async () => {
  node.api.wish([]);
  await soon(() => expect(node.api.reports[0]?.pods).toEqual([]));
});
afterAll(async () => {
  runtime.close();
  await node[Symbol.asyncDispose]();
});

/** Waits for what the agent brings about, and tells what it said where that does not come. */
async function soon<T>(check: () => T | Promise<T>): Promise<T> {
  try {
    return await eventually(check, { withinMs: 30_000, everyMs: 50 });
  } catch (error) {
    throw new Error(`the agent said, last: ${node.agentLog().slice(-4_000)}`, { cause: error });
  }
}

const script = (text: string) => ["/bin/sh", "-c", text];
/** Runs until it is told to end, and does so at once. */
const LASTING = script("trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done");

/** A pod of an init container, a sidecar and two main containers, asked by every kind of probe. */
function aTeam(name: string, said: Parameters<typeof aPod>[0] = {}): Pod {
  const part = (partName: string, more: object) => ({
    name: partName,
    image,
    resources: { requests: { cpu: "10m", memory: "16Mi" } },
    volumeMounts: [{ name: "scratch", mountPath: "/scratch" }],
    ...more,
  });
  const pod = aPod({
    image,
    name,
    volumes: ["scratch"],
    ...said,
    container: {
      startupProbe: { httpGet: { port: 8080 }, periodSeconds: 1, failureThreshold: 30 },
      livenessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1, failureThreshold: 1 },
      ...said.container,
    },
  });
  const prepare = part("prepare", { command: script("echo once >> /scratch/prepared") });
  const ship = part("ship", { command: LASTING, restartPolicy: "Always" });
  const asked = { exec: { command: ["/bin/cat", "/scratch/prepared"] }, periodSeconds: 1 };
  const beat = part("beat", { command: LASTING, livenessProbe: { ...asked, failureThreshold: 1 } });
  const containers = [...pod.spec.containers, beat];
  return Pod.parse({ ...pod, spec: { ...pod.spec, initContainers: [prepare, ship], containers } });
}

function status(pod: Pod): PodStatus | undefined {
  return node.api.reports[0]?.pods.find((it) => it.pod === pod.metadata.uid);
}

async function ready(...pods: readonly Pod[]): Promise<void> {
  await soon(() => {
    for (const pod of pods) {
      const found = status(pod);
      if (!found?.ready) throw new Error(JSON.stringify(found));
    }
  });
}

/** Every running container with its start, and every sandbox: equal when nothing was restarted. */
async function running() {
  const { sandboxes, containers } = await runtime.list();
  return {
    sandboxes: sandboxes.map((it) => it.id).toSorted(),
    containers: containers
      .filter((it) => it.state === "running")
      .map((it) => `${it.name} ${it.attempt} ${it.id}`)
      .toSorted(),
  };
}

/** Throws where a pod has two living sandboxes, or a container two living starts. */
async function noTwins(): Promise<void> {
  const { sandboxes, containers } = await runtime.list();
  const living = sandboxes.filter((it) => it.ready).map((it) => it.labels["waybill.dev/pod"]);
  const starts = containers
    .filter((it) => it.state === "running" || it.state === "created")
    .map((it) => `${it.sandboxId} ${it.name}`);
  expect(living.length).toBe(new Set(living).size);
  expect(starts.length).toBe(new Set(starts).size);
}

function ask(options: object): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    request(options, (answer) => {
      let text = "";
      answer.on("data", (chunk: Buffer) => {
        text += chunk.toString();
      });
      answer.on("end", () => resolve({ status: answer.statusCode ?? 0, text }));
    })
      .on("error", reject)
      .end();
  });
}

const throughIngress = () =>
  ask({ port: node.httpPort, headers: { host: "web.localhost", connection: "close" } });

async function health() {
  const { text } = await ask({ socketPath: node.env.WAYBILL_AGENT_HEALTH, path: "/healthz" });
  return JSON.parse(text) as Record<string, unknown>;
}

/** Runs `story` while nobody has heard from the api. */
async function withoutApi(story: () => Promise<void>): Promise<void> {
  node.api.answerWith({ status: 502, body: "<html>" });
  try {
    await story();
  } finally {
    node.api.answerWith(undefined);
  }
}

/** Between 0 and `most`, from a seed, so that a failure can be looked at again. */
function moments(seed: number, most: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return (state / 2_147_483_648) * most;
  };
}

test("an agent killed at any moment of bringing pods up and taking them away leaves no twin and restarts nothing", async () => {
  const next = moments(42, 900);
  const steady = aTeam("steady");
  node.api.wish([steady], [aRoute([steady])]);
  await ready(steady);
  const before = await running();

  for (let round = 0; round < 10; round++) {
    const [first, second] = [aTeam(`first-${round}`), aTeam(`second-${round}`)];
    node.api.wish([steady, first, second], [aRoute([steady])]);
    await sleep(next());
    await node.endAgent("SIGKILL");
    await noTwins();
    await node.startAgent();
    if (round % 2 === 0) await ready(first, second);
    await noTwins();
    node.api.wish([steady, second], [aRoute([steady])]);
    await sleep(next());
    await node.endAgent("SIGKILL");
    await node.startAgent();
  }
  node.api.wish([steady], [aRoute([steady])]);

  await soon(async () => expect(await running()).toEqual(before));
  expect(status(steady)).toMatchObject({ ready: true, restarts: 0 });
}, 240_000);

test("fifty kills in a minute restart nothing, and no request fails", async () => {
  const pods = [aTeam("web-1"), aTeam("web-2")];
  node.api.wish(pods, [aRoute(pods)]);
  await ready(...pods);
  const before = await running();
  const next = moments(7, 1_000);
  const failures: unknown[] = [];
  let over = false;
  const load = (async () => {
    while (!over) {
      const answer = await throughIngress();
      if (answer.status !== 200) failures.push(answer);
    }
  })();

  const earlier = node.api.reports[0]?.sinceBootMs;
  for (let kill = 0; kill < 50; kill++) {
    await node.endAgent("SIGKILL");
    await node.startAgent();
    await sleep(next());
  }
  node.api.reports.length = 0;
  await ready(...pods);
  over = true;
  await load;

  expect(await running()).toEqual(before);
  expect(failures.slice(0, 3)).toEqual([]);
  // An api that holds one of before for one that came late is to take this one.
  expect(node.api.reports.at(-1)?.sinceBootMs).toBeGreaterThan(earlier ?? Number.POSITIVE_INFINITY);
}, 180_000);

test("a runtime that is killed restarts nothing, whatever the probes ask, and pods go on being managed", async () => {
  const pod = aTeam("web-1");
  node.api.wish([pod], [aRoute([pod])]);
  await ready(pod);
  const before = await running();

  for (let kill = 0; kill < 3; kill++) {
    await node.containerd.restart();
    expect((await throughIngress()).status).toBe(200);
    await sleep(1_500);
  }

  expect(await running()).toEqual(before);
  const other = aTeam("web-2");
  node.api.wish([pod, other], [aRoute([pod, other])]);
  await ready(pod, other);
  expect((await running()).containers).toEqual(expect.arrayContaining(before.containers));
}, 90_000);

test("another version of the agent takes over without a restart", async () => {
  const pod = aTeam("web-1");
  node.api.wish([pod], [aRoute([pod])]);
  await ready(pod);
  const before = await running();
  const folder = await mkdtemp(join(tmpdir(), "waybill-test-upgrade-"));
  try {
    const home = join(import.meta.dirname, "../..");
    for (const room of ["contract", "kit", "node-agent"])
      await cp(join(home, room), join(folder, room), { recursive: true });
    const own = JSON.parse(await readFile(join(home, "package.json"), "utf8")) as object;
    await writeFile(join(folder, "package.json"), JSON.stringify({ ...own, version: "99.0.0" }));
    await symlink(join(home, "node_modules"), join(folder, "node_modules"));

    await node.endAgent("SIGTERM");
    await node.startAgent(folder);

    await soon(() => expect(node.api.reports[0]?.version).toBe("99.0.0"));
    await ready(pod);
    expect(await running()).toEqual(before);
    expect(node.api.joins()).toBe(1);
  } finally {
    await node.endAgent("SIGKILL");
    await rm(folder, { recursive: true, force: true });
    await node.startAgent();
  }
}, 60_000);

test("after a reboot every pod comes back from the ledger, secrets and all, with nobody to ask", async () => {
  const publicKey = Buffer.from(node.api.publicKey(), "base64");
  const value = Buffer.from("correct horse").toString("base64");
  const plain = Buffer.from(JSON.stringify({ password: value }));
  const box = await sealTo(publicKey, plain, "default/db.v1");
  const secret = { project: "default", name: "db.v1", sealed: Buffer.from(box).toString("base64") };
  const secretive = aTeam("secretive", {
    labels: { "waybill.dev/project": "default" },
    container: {
      command: script('echo "$PASSWORD" > /www/index.html; exec httpd -f -p 8080 -h /www'),
      env: [{ name: "PASSWORD", valueFrom: { secretKeyRef: { name: "db.v1", key: "password" } } }],
    },
  });
  const others = [1, 2, 3, 4, 5].map((at) => aTeam(`web-${at}`));
  const pods = [secretive, ...others];
  node.api.wish(pods, [aRoute([secretive])], { secrets: [secret] });
  await ready(...pods);
  const before = await running();
  const boot = node.api.reports[0]?.bootId;
  const ledger = await readFile(join(node.env.WAYBILL_AGENT_DIR, "ledger.json"), "utf8");
  expect(ledger).not.toMatch(/correct horse|Y29ycmVjdCBob3JzZQ/);

  await withoutApi(async () => {
    await node.powerOff();
    await node.powerOn();
    expect((await running()).containers).toEqual([]);
    await node.startAgent();
    await soon(async () => {
      expect((await running()).containers).toHaveLength(before.containers.length);
      expect((await throughIngress()).text).toBe("correct horse\n");
    });
    expect(await health()).toMatchObject({ healthy: true, api: { because: expect.any(String) } });
  });

  node.api.reports.length = 0;
  await ready(...pods);
  expect(node.api.reports[0]?.bootId).not.toBe(boot);
  // The sandboxes of before the boot go once new ones have counted on from them.
  await soon(async () => expect((await running()).sandboxes).toHaveLength(pods.length));
  await noTwins();
}, 120_000);

test("a broken ledger is set aside: what runs is looked after as it is until the api answers", async () => {
  const [kept, gone] = [aTeam("kept"), aTeam("gone")];
  node.api.wish([kept, gone], [aRoute([kept, gone])]);
  await ready(kept, gone);
  const before = await running();
  await node.endAgent("SIGKILL");
  const ledger = join(node.env.WAYBILL_AGENT_DIR, "ledger.json");
  await writeFile(ledger, (await readFile(ledger, "utf8")).slice(0, 300));

  await withoutApi(async () => {
    await node.startAgent();
    await eventually(async () => expect((await health()).ledger).toContain("ledger.json.broken"));
    await sleep(2_500);
    expect(await running()).toEqual(before);
    expect((await throughIngress()).status).toBe(200);
    const [, , beat] = before.containers[0]?.split(" ") ?? [];
    await runtime.stopContainer(beat ?? "", 0);
    await soon(async () => {
      const { containers } = await running();
      expect(containers).toHaveLength(before.containers.length);
      expect(containers).not.toEqual(before.containers);
    });
  });
  node.api.wish([kept], [aRoute([kept])]);

  await soon(() => expect(node.api.reports[0]?.pods).toHaveLength(1));
  await ready(kept);
  expect((await health()).ledger).toBeNull();
}, 90_000);

test("on a disk that cannot be written the agent goes on, says so, and takes the next wish afterwards", async () => {
  const pod = aTeam("web-1");
  node.api.wish([pod], [aRoute([pod])]);
  await ready(pod);
  const before = await running();
  const dir = node.env.WAYBILL_AGENT_DIR;
  const mount = (...argv: string[]) => exec("/usr/bin/mount", argv, { timeoutMs: 5_000 });
  await node.endAgent("SIGKILL");
  await mount("--bind", dir, dir);
  try {
    await mount("-o", "remount,ro,bind", dir);
    await node.startAgent();
    node.api.wish([pod], [aRoute([pod])]);
    await soon(async () => expect((await health()).ledger).toContain("EROFS"));
    node.api.reports.length = 0;
    await ready(pod);

    expect(await running()).toEqual(before);
    expect((await throughIngress()).status).toBe(200);
  } finally {
    await exec("/usr/bin/umount", [dir], { timeoutMs: 5_000 });
  }

  await soon(async () => expect((await health()).ledger).toBeNull());
}, 60_000);
