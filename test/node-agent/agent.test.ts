import { randomUUID } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { PodStatus } from "../../contract/node/protocol.ts";
import type { Pod } from "../../contract/pod/pod.ts";
import { effectiveRequests } from "../../contract/pod/requests.ts";
import { exec } from "../../kit/exec.ts";
import { cpuShares } from "../../node-agent/host/cpu-weight.ts";
import { mountPoints } from "../../node-agent/host/mounts.ts";
import { openCri } from "../../node-agent/runtime/cri.ts";
import type { Runtime } from "../../node-agent/runtime/runtime.ts";
import { eventually } from "../support/eventually.ts";
import { startNode, type TestNode } from "../support/node.ts";
import { aPod, aRoute } from "../support/pods.ts";

/* One host for all stories: registry, api, containerd, Caddy, and the agent as the process it is. */

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
  await eventually(() => expect(node.api.reports[0]?.pods).toEqual([]), { withinMs: 15_000 });
});
afterAll(async () => {
  runtime.close();
  await node[Symbol.asyncDispose]();
});

function status(pod: Pod): PodStatus | undefined {
  return node.api.reports[0]?.pods.find((it) => it.pod === pod.metadata.uid);
}

async function ready(pod: Pod): Promise<PodStatus> {
  return eventually(
    () => {
      const found = status(pod);
      if (!found?.ready) throw new Error(JSON.stringify(found) + node.agentLog());
      return found;
    },
    { withinMs: 15_000, everyMs: 10 },
  );
}

function throughIngress(
  path = "/",
  host = "web.localhost",
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = { host, connection: "close" };
    request({ host: "127.0.0.1", port: node.httpPort, path, headers }, (answer) => {
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

/** Runs in the pod's only container and answers what it printed. */
async function shell(script: string, said: Parameters<typeof aPod>[0] = {}): Promise<string> {
  const pod = aPod({ image, command: ["/bin/sh", "-c", `${script}; exit 7`], ...said });
  node.api.wish([pod]);
  const seen = await eventually(
    () => {
      const found = status(pod);
      if (found?.containers[0]?.exitCode === undefined) throw new Error(JSON.stringify(found));
      return found;
    },
    { withinMs: 15_000 },
  );
  return seen.logTail.join("\n");
}

async function containers() {
  const { sandboxes, containers: found } = await runtime.list();
  return { sandboxes, containers: found.filter((it) => it.state === "running") };
}

test("a wished pod serves through the ingress once it is reported ready, with and without a port in the Host", async () => {
  const pod = aPod({ image });

  node.api.wish([pod], [aRoute([pod])]);
  const seen = await ready(pod);

  expect(await throughIngress()).toEqual({ status: 200, text: "hello from busybox\n" });
  expect((await throughIngress("/", `web.localhost:${node.httpPort}`)).status).toBe(200);
  expect((await throughIngress("/", "other.localhost")).status).toBe(404);
  expect(seen).toMatchObject({ phase: "Running", restarts: 0, ip: expect.stringMatching(/^10\./) });
});

test("a command that a probe runs is told by its own words, and one that cannot run by the runtime's last", async () => {
  const probe = (...command: string[]) => ({ exec: { command }, periodSeconds: 1 });
  const script = "head -c 3000 /dev/zero | tr '\\0' x; echo the database is away >&2; exit 4";
  const pod = aPod({
    image,
    container: {
      readinessProbe: probe("/bin/sh", "-c", script),
      livenessProbe: { ...probe("/bin/missing"), failureThreshold: 100 },
    },
  });

  node.api.wish([pod]);

  const failures = await eventually(
    () => {
      const found = status(pod)?.containers[0]?.probeFailures ?? [];
      const byProbe = new Map(found.map((it) => [it.probe, it]));
      if (byProbe.size < 2) throw new Error(JSON.stringify(status(pod)));
      return byProbe;
    },
    { withinMs: 15_000 },
  );
  expect(failures.get("readiness")).toMatchObject({
    status: 4,
    excerpt: expect.stringMatching(/^the database is away x+$/),
  });
  expect(failures.get("liveness")?.excerpt).toMatch(
    /^exec: "\/bin\/missing": .*no such file or directory/,
  );
});

test("a route without a ready pod says so", async () => {
  const pod = aPod({ image, path: "/missing" });

  node.api.wish([pod], [aRoute([pod])]);
  await eventually(() => expect(status(pod)?.probe).toMatchObject({ status: 404 }));

  expect(await throughIngress()).toMatchObject({
    status: 503,
    text: expect.stringContaining('"web" has no ready pod'),
  });
});

test("no request fails while one pod takes over from another", async () => {
  const [old, fresh] = [aPod({ image }), aPod({ image, name: "web-2" })];
  node.api.wish([old], [aRoute([old])]);
  await ready(old);
  const answers: number[] = [];
  let over = false;
  const load = (async () => {
    while (!over) answers.push((await throughIngress()).status);
  })();

  node.api.wish([old, fresh], [aRoute([old, fresh])]);
  await ready(fresh);
  node.api.wish([fresh], [aRoute([fresh])]);
  await eventually(() => expect(status(old)).toBeUndefined());
  over = true;
  await load;

  expect(answers.length).toBeGreaterThan(20);
  expect(new Set(answers)).toEqual(new Set([200]));
});

test("the agent's own end and return change nothing for the apps", async () => {
  const pod = aPod({ image, volumes: ["scratch"] });
  node.api.wish([pod], [aRoute([pod])]);
  await ready(pod);
  const before = await containers();
  let failures = 0;
  let over = false;
  const load = (async () => {
    while (!over) if ((await throughIngress()).status !== 200) failures += 1;
  })();

  await node.endAgent("SIGKILL");
  node.api.reports.length = 0;
  await node.startAgent();
  await ready(pod);
  await node.endAgent("SIGTERM");
  expect(node.agent()?.exitCode).toBe(0);
  node.api.reports.length = 0;
  await node.startAgent();
  await ready(pod);
  over = true;
  await load;

  expect(await containers()).toEqual(before);
  expect(failures).toBe(0);
  expect((await mountPoints()).filter((it) => it.includes(pod.metadata.uid))).toHaveLength(1);
});

test("an agent killed at any moment of a pod's start leaves one pod that becomes ready", async () => {
  for (const afterMs of [0, 40, 80, 120, 160, 220, 300]) {
    const pod = aPod({ image, name: `web-${afterMs}` });
    node.api.wish([pod], [aRoute([pod])]);
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    await node.endAgent("SIGKILL");
    await node.startAgent();
    await ready(pod);

    // The runtime may have gone on with a start that was cut off, and be rid of it only now.
    await eventually(async () => {
      const { sandboxes, containers: found } = await runtime.list();
      const ours = sandboxes.filter((it) => it.labels["waybill.dev/pod"] === pod.metadata.uid);
      expect(ours).toHaveLength(1);
      // Such a start leaves its container ended, and the next one takes its place.
      const alive = found.filter((it) => it.sandboxId === ours[0]?.id && it.state !== "exited");
      expect(alive.map((it) => it.state)).toEqual(["running"]);
    });
  }
}, 90_000);

test("without an api the last wish is kept, and brought back when the runtime lost its pods", async () => {
  const pod = aPod({ image });
  node.api.wish([pod], [aRoute([pod])]);
  await ready(pod);
  node.api.answerWith({ status: 500, body: "<html>" });
  try {
    await node.endAgent("SIGKILL");
    for (const it of (await runtime.list()).sandboxes) await runtime.stopSandbox(it.id);
    await node.startAgent();

    await eventually(async () => expect((await throughIngress()).status).toBe(200), {
      withinMs: 15_000,
    });
  } finally {
    node.api.answerWith(undefined);
  }
});

test("silence stops nothing: an empty, failed or garbled answer leaves every pod and route where it is", {
  timeout: 60_000,
}, async () => {
  const pod = aPod({ image });
  node.api.wish([pod], [aRoute([pod])]);
  await ready(pod);
  const before = await containers();
  try {
    const heardAfter = async (change: () => void) => {
      const answered = node.api.answered();
      change();
      await eventually(() => expect(node.api.answered()).toBeGreaterThan(answered));
    };
    const wish = { node: node.api.node, generation: 0, pods: [], routes: [] };
    const document = (said: object) => JSON.stringify({ ...wish, ...said });
    const empty = ["", "{}", "[]", "null", '{"pods":[]}', "<html>", document({}).slice(0, 30)];
    const others = [document({}), document({ node: randomUUID(), generation: 1_000_000 })];
    for (const answer of [
      ...[...empty, ...others].map((body) => ({ status: 200, body })),
      { status: 401, body: "{}" },
      { status: 500, body: document({ generation: 1_000_000 }) },
      { status: 502, body: "<html>502</html>" },
    ]) {
      await heardAfter(() => node.api.answerWith(answer));
      expect((await throughIngress()).status, answer.body).toBe(200);
      await heardAfter(() => {
        node.api.answerWith(undefined);
        node.api.wish([pod], [aRoute([pod])]);
      });
    }

    expect(await containers()).toEqual(before);
  } finally {
    node.api.answerWith(undefined);
  }
});

test("a control plane that lost its database stops nothing before somebody decides anew", async () => {
  const pod = aPod({ image });
  node.api.wish([pod], [aRoute([pod])]);
  await ready(pod);
  const before = await containers();
  const joins = node.api.joins();

  node.api.forget();
  await eventually(() => expect(node.api.joins()).toBe(joins + 1));
  await eventually(() => expect(node.api.reports[0]?.observedGeneration).toBe(0));
  expect(status(pod)).toMatchObject({ phase: "Running", ready: true });

  for (let visit = 0; visit < 20; visit++) {
    expect((await throughIngress()).status).toBe(200);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  expect(await containers()).toEqual(before);
});

test("a reboot before somebody decides anew brings the pods of before back", async () => {
  const pod = aPod({ image });
  node.api.wish([pod], [aRoute([pod])]);
  await ready(pod);
  node.api.forget();
  await eventually(() => expect(node.api.reports[0]?.observedGeneration).toBe(0));

  await node.endAgent("SIGKILL");
  for (const it of (await runtime.list()).sandboxes) await runtime.stopSandbox(it.id);
  node.api.reports.length = 0;
  await node.startAgent();

  await ready(pod);
  expect((await throughIngress()).status).toBe(200);
});

test("a restarted Caddy serves the last routes by itself, and with the agent's newer ones soon after", async () => {
  const pod = aPod({ image });
  node.api.wish([pod], [aRoute([pod])]);
  await ready(pod);

  await node.endAgent("SIGKILL");
  await node.restartCaddy();
  await eventually(async () => expect((await throughIngress()).status).toBe(200));
  await node.startAgent();
  node.api.wish([pod], [aRoute([pod], "new.localhost")]);

  await eventually(async () =>
    expect((await throughIngress("/", "new.localhost")).status).toBe(200),
  );
});

test("a runtime that is killed and comes back changes nothing for the apps", async () => {
  const pod = aPod({ image });
  node.api.wish([pod], [aRoute([pod])]);
  await ready(pod);
  const before = await containers();

  await node.containerd.restart();
  expect((await throughIngress()).status).toBe(200);
  const next = aPod({ image, name: "web-2" });
  node.api.wish([pod, next], [aRoute([pod, next])]);
  await ready(next);

  expect((await containers()).containers).toEqual(expect.arrayContaining([...before.containers]));
});

test("a container that ends is started again in its sandbox, later and later, and its words are told", async () => {
  const pod = aPod({ image, command: ["/bin/sh", "-c", "echo no database; exit 3"] });
  node.api.wish([pod], [aRoute([pod])]);

  await eventually(
    () =>
      expect(status(pod)).toMatchObject({
        ready: false,
        restarts: 2,
        containers: [{ state: "waiting", reason: "CrashLoopBackOff", exitCode: 3, restarts: 2 }],
        logTail: ["no database"],
      }),
    { withinMs: 15_000 },
  );

  expect((await runtime.list()).sandboxes).toHaveLength(1);
});

test("a container over its memory is told from one that failed", async () => {
  const words = await shell("echo filling; dd if=/dev/zero of=/dev/null bs=200M count=1", {
    memory: "32Mi",
  });

  expect(words).toContain("filling");
  expect(node.api.reports[0]?.pods[0]?.containers[0]?.reason).toBe("OOMKilled");
});

test("an image that cannot be pulled is told with its cause, and the others start meanwhile", async () => {
  const bad = aPod({ image: image.replace(/.{64}$/, "b".repeat(64)) });
  const good = aPod({ image, name: "web-2" });
  node.api.wish([bad, good], [aRoute([good])]);

  await ready(good);
  await eventually(() =>
    expect(status(bad)?.containers[0]).toMatchObject({
      state: "waiting",
      reason: "ErrImagePull",
      message: expect.stringContaining("not found"),
    }),
  );
});

test("a pod runs without new privileges, filtered, bounded and without raw sockets", async () => {
  const words = await shell(
    "grep -E 'NoNewPrivs|Seccomp:|CapBnd' /proc/self/status; touch /x && echo writable",
  );

  expect(words).toMatch(/NoNewPrivs:\s*1/);
  expect(words).toMatch(/Seccomp:\s*2/);
  expect(words).toContain("writable");
  expect(capabilities(words) & CAP_NET_RAW).toBe(0n);
  expect(capabilities(words) & CAP_CHOWN).not.toBe(0n);
});

test("a restricted pod has no capability, its own user, and nowhere to write but its volume", async () => {
  const words = await shell(
    "grep CapBnd /proc/self/status; id; touch /x || echo root-read-only; touch /scratch/y && echo scratch-writable; dd if=/dev/zero of=/scratch/z bs=1M count=2 || echo scratch-full",
    {
      volumes: ["scratch"],
      container: {
        securityContext: {
          runAsUser: 10_001,
          runAsGroup: 10_002,
          runAsNonRoot: true,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ["ALL"] },
        },
        volumeMounts: [{ name: "scratch", mountPath: "/scratch" }],
      },
    },
  );

  expect(capabilities(words)).toBe(0n);
  expect(words).toContain("uid=10001 gid=10002");
  for (const it of ["root-read-only", "scratch-writable", "scratch-full"])
    expect(words).toContain(it);
});

test("a pod that must not run as root does not", async () => {
  const pod = aPod({ image, container: { securityContext: { runAsNonRoot: true } } });
  node.api.wish([pod]);

  await eventually(() =>
    expect(status(pod)?.containers[0]).toMatchObject({
      reason: "CreateContainerConfigError",
      message: expect.stringContaining("runs as root"),
    }),
  );
});

test("a pod has its part of the cpus, and memory, swap and processes are bounded, in its own group", async () => {
  const pod = aPod({ image, memory: "48Mi" });
  node.api.wish([pod], [aRoute([pod])]);
  await ready(pod);
  const [container] = (await containers()).containers;
  const group = `${node.containerd.cgroupParent}/pod${pod.metadata.uid}`;
  const limit = (file: string) =>
    readFile(join("/sys/fs/cgroup", file), "utf8").then((it) => it.trim());

  const { cpuMillis } = effectiveRequests(pod.spec);
  expect(cpuMillis).toBeGreaterThan(0);
  expect(await limit(`cpu/${group}/cpu.shares`)).toBe(String(cpuShares(cpuMillis)));
  const { capacity } = node.api.reports[0] ?? {};
  expect(await limit(`cpu/${node.containerd.cgroupParent}/cpu.shares`)).toBe(
    String(cpuShares(capacity?.cpuMillis ?? 0)),
  );
  expect(await limit(`pids/${group}/pids.max`)).toBe("4096");
  expect(await limit(`memory/${group}/${container?.id}/memory.limit_in_bytes`)).toBe(
    String(48 * 1024 ** 2),
  );
  expect(await limit(`memory/${group}/${container?.id}/memory.memsw.limit_in_bytes`)).toBe(
    String(48 * 1024 ** 2),
  );
});

test("a pod that an agent of before started gets its part of the cpus from the next one", async () => {
  const pod = aPod({ image });
  node.api.wish([pod], [aRoute([pod])]);
  await ready(pod);
  const group = `${node.containerd.cgroupParent}/pod${pod.metadata.uid}`;
  const shares = join("/sys/fs/cgroup/cpu", group, "cpu.shares");
  await writeFile(shares, "1024");

  await node.endAgent("SIGTERM");
  await node.startAgent();

  const requested = String(cpuShares(effectiveRequests(pod.spec).cpuMillis));
  await eventually(async () => expect((await readFile(shares, "utf8")).trim()).toBe(requested));
});

test("a pod that is wished for no more leaves nothing on the host", async () => {
  const pod = aPod({ image, volumes: ["scratch"] });
  node.api.wish([pod], [aRoute([pod])]);
  await ready(pod);
  const { uid } = pod.metadata;
  expect((await mountPoints()).some((it) => it.includes(uid))).toBe(true);

  node.api.wish([]);

  await eventually(() => expect(node.api.reports[0]?.pods).toEqual([]), { withinMs: 15_000 });
  const { stdout } = await exec(
    "/usr/bin/find",
    [
      "/sys/fs/cgroup",
      node.containerd.dir,
      "-path",
      "*/data",
      "-prune",
      "-o",
      // Its words stay until the api has them, and are cleaned away later.
      "-path",
      "*/agent/logs",
      "-prune",
      "-o",
      "-name",
      `*${uid}*`,
      "-print",
    ],
    { timeoutMs: 10_000 },
  );
  expect(stdout).toBe("");
  expect((await mountPoints()).filter((it) => it.includes(uid))).toEqual([]);
  expect((await runtime.list()).sandboxes).toEqual([]);
});

test("another spec under the same id replaces the pod, and the same spec never does", async () => {
  const pod = aPod({ image });
  node.api.wish([pod], [aRoute([pod])]);
  await ready(pod);
  const before = await containers();
  const relabelled = { ...pod, metadata: { ...pod.metadata, labels: { team: "blue" } } };
  const renewed = aPod({ image, uid: pod.metadata.uid, memory: "80Mi" });

  node.api.wish([relabelled], [aRoute([pod], "moved.localhost")]);
  await eventually(async () =>
    expect((await throughIngress("/", "moved.localhost")).status).toBe(200),
  );
  expect(await containers()).toEqual(before);
  node.api.wish([renewed], [aRoute([pod])]);

  await eventually(async () => {
    const after = await containers();
    expect(after.sandboxes).toHaveLength(1);
    expect(after.containers).toHaveLength(1);
    expect(after.containers[0]?.id).not.toBe(before.containers[0]?.id);
  });
  await ready(pod);
});

test("the agent is healthy while its passes end well, and says so on its socket", async () => {
  const ask = () =>
    new Promise<number>((resolve, reject) => {
      const socketPath = node.env.WAYBILL_AGENT_HEALTH;
      request({ socketPath, path: "/healthz" }, (answer) => {
        answer.resume();
        resolve(answer.statusCode ?? 0);
      })
        .on("error", reject)
        .end();
    });

  await eventually(async () => expect(await ask()).toBe(200));
});

const CAP_CHOWN = 1n;
const CAP_NET_RAW = 1n << 13n;

function capabilities(procStatus: string): bigint {
  return BigInt(`0x${/CapBnd:\s*([0-9a-f]+)/.exec(procStatus)?.[1]}`);
}
