import { randomUUID } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { PodStatus } from "../../contract/node/protocol.ts";
import { Pod } from "../../contract/pod/pod.ts";
import { logTail } from "../../node-agent/host/log-tail.ts";
import { openCri } from "../../node-agent/runtime/cri.ts";
import type { Runtime } from "../../node-agent/runtime/runtime.ts";
import { eventually } from "../support/eventually.ts";
import { startNode, type TestNode } from "../support/node.ts";

/* Pods of many containers from their first start to their last word, on a real containerd. */

let node: TestNode;
let runtime: Runtime;

/** Two cores are shared by all tests. */
const PATIENCE_MS = 60_000;

beforeAll(async () => {
  node = await startNode();
  runtime = openCri(node.containerd.endpoint, node.containerd.installation);
  await node.startAgent();
  await eventually(() => expect(node.api.joins()).toBe(1));
});
beforeEach(async () => {
  node.api.wish([]);
  await eventually(() => expect(node.api.reports[0]?.pods).toEqual([]), { withinMs: 30_000 });
});
afterAll(async () => {
  runtime.close();
  await node[Symbol.asyncDispose]();
});

type Part = { readonly name: string; readonly script: string; readonly more?: object };

/** Every container sees /all, which lasts as long as the pod does. */
function aTeam(said: {
  readonly init?: readonly (Part & { readonly sidecar?: boolean })[];
  readonly main: readonly Part[];
  readonly policy?: string;
}): Pod {
  const part = ({ name, script, more }: Part) => ({
    name,
    image: `waybill.internal/apps/web@${node.busybox.digest}`,
    command: ["/bin/sh", "-c", script],
    resources: { requests: { cpu: "10m", memory: "16Mi" } },
    volumeMounts: [{ name: "all", mountPath: "/all" }],
    ...more,
  });
  return Pod.parse({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "team", uid: randomUUID() },
    spec: {
      initContainers: (said.init ?? []).map((it) => ({
        ...part(it),
        ...(it.sidecar && { restartPolicy: "Always" }),
      })),
      containers: said.main.map(part),
      volumes: [{ name: "all", emptyDir: {} }],
      restartPolicy: said.policy ?? "Always",
      terminationGracePeriodSeconds: 8,
    },
  });
}

const UNTIL_TERM = "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done";

async function told(pod: Pod, is: (status: PodStatus) => boolean): Promise<PodStatus> {
  return eventually(
    () => {
      const found = node.api.reports[0]?.pods.find((it) => it.pod === pod.metadata.uid);
      if (!found || !is(found)) throw new Error(JSON.stringify(found) + node.agentLog());
      return found;
    },
    { withinMs: 30_000, everyMs: 20 },
  );
}

function words(pod: Pod, container: string, attempt = 0): Promise<readonly string[]> {
  const folder = join(node.env.WAYBILL_AGENT_DIR, "logs", pod.metadata.uid);
  return logTail(join(folder, `${container}.${attempt}.log`), 50);
}

test(
  "a job runs in order, its sidecar sees its last line, and it is over for good",
  async () => {
    const say = (word: string) => `echo ${word} >> /all/said`;
    const job = aTeam({
      policy: "Never",
      init: [
        { name: "first", script: `sleep 0.3; ${say("first")}` },
        {
          name: "ship",
          sidecar: true,
          script: `${say("ship")}; trap 'cat /all/said; exit 0' TERM; while :; do sleep 1 & wait $!; done`,
          more: { readinessProbe: { exec: { command: ["/bin/sh", "-c", "test -e /all/said"] } } },
        },
        { name: "second", script: say("second") },
      ],
      main: [
        { name: "work", script: `${say("work")}; sleep 0.5; ${say("done")}` },
        { name: "other", script: "true" },
      ],
    });
    node.api.wish([job]);

    const status = await told(job, (it) => it.phase === "Succeeded");

    expect(await words(job, "ship")).toEqual(["first", "ship", "second", "work", "done"]);
    expect(status).toMatchObject({
      ready: false,
      restarts: 0,
      containers: [
        { name: "first", kind: "init", state: "exited", exitCode: 0, ready: true },
        { name: "ship", kind: "sidecar", state: "exited", reason: "Completed" },
        { name: "second", kind: "init", exitCode: 0 },
        { name: "work", kind: "main", state: "exited", exitCode: 0, reason: "Completed" },
        { name: "other", kind: "main", exitCode: 0 },
      ],
    });
    await eventually(async () => expect((await runtime.list()).sandboxes).toEqual([]));

    await node.endAgent("SIGKILL");
    node.api.reports.length = 0;
    await node.startAgent();
    expect(await told(job, () => true)).toEqual(status);
    expect((await runtime.list()).sandboxes).toEqual([]);
  },
  PATIENCE_MS,
);

test(
  "a job that fails says who, how and with which last words; one on failure is tried again",
  async () => {
    const never = aTeam({
      policy: "Never",
      main: [
        { name: "good", script: "true" },
        { name: "bad", script: "echo so it ends; exit 3" },
      ],
    });
    const thrice = aTeam({
      policy: "OnFailure",
      main: [{ name: "try", script: "echo x >> /all/tries; test $(wc -l < /all/tries) = 3" }],
    });
    const setup = aTeam({
      policy: "Never",
      init: [{ name: "setup", script: "exit 137" }],
      main: [{ name: "work", script: "true" }],
    });
    node.api.wish([never, thrice, setup]);

    expect(await told(never, (it) => it.phase === "Failed")).toMatchObject({
      reason: 'container "bad" ended with exit code 3 (Error)',
      logTail: ["so it ends"],
      containers: [{ exitCode: 0 }, { exitCode: 3, reason: "Error" }],
    });
    expect(await told(setup, (it) => it.phase === "Failed")).toMatchObject({
      containers: [
        { name: "setup", exitCode: 137, signal: 9 },
        { name: "work", state: "waiting", reason: "PodInitializing" },
      ],
    });
    expect(await told(thrice, (it) => it.phase === "Succeeded")).toMatchObject({
      restarts: 2,
      containers: [{ exitCode: 0, restarts: 2 }],
    });
  },
  PATIENCE_MS,
);

test(
  "a container that a probe ends is started again, and is told with what the probe heard",
  async () => {
    const liveness = {
      exec: { command: ["/bin/sh", "-c", "echo it is sick; test ! -e /all/sick"] },
      periodSeconds: 1,
      failureThreshold: 2,
    };
    const pod = aTeam({
      main: [
        {
          name: "web",
          script: `test -e /all/sick && rm /all/sick || touch /all/sick; ${UNTIL_TERM}`,
          more: { livenessProbe: liveness },
        },
        { name: "beside", script: UNTIL_TERM },
      ],
    });
    node.api.wish([pod]);

    const status = await told(pod, (it) => it.ready && it.containers[0]?.restarts === 1);

    expect(status.containers).toMatchObject([
      { probeFailures: [{ probe: "liveness", status: 1 }, { excerpt: "it is sick" }] },
      { name: "beside", restarts: 0, state: "running" },
    ]);
  },
  PATIENCE_MS,
);

test(
  "the sandbox's death is the pod's: all of it comes again, in order, and counts on",
  async () => {
    const pod = aTeam({
      init: [{ name: "setup", script: "echo x >> /all/setups" }],
      main: [{ name: "web", script: `wc -l < /all/setups; ${UNTIL_TERM}` }],
    });
    node.api.wish([pod]);
    await told(pod, (it) => it.ready);
    const [before] = (await runtime.list()).sandboxes;

    await killSandbox(before?.id ?? "");

    const status = await told(pod, (it) => it.ready && it.restarts === 1);
    const { sandboxes } = await runtime.list();
    expect(sandboxes.filter((it) => it.ready)).toMatchObject([{ attempt: 1 }]);
    expect(status.containers).toMatchObject([
      { name: "setup", restarts: 1 },
      { name: "web", restarts: 1 },
    ]);
    await eventually(async () => expect(await words(pod, "web", 1)).toEqual(["2"]));
    await eventually(async () => expect((await runtime.list()).sandboxes).toHaveLength(1));
  },
  PATIENCE_MS,
);

test(
  "a job that ended before its sandbox died is over, whoever was there to see it",
  async () => {
    const job = aTeam({
      policy: "Never",
      main: [
        { name: "done", script: "echo x; exit 0" },
        { name: "work", script: "until test -e /all/end; do sleep 0.1; done; exit 4" },
      ],
    });
    node.api.wish([job]);
    await told(job, (it) => it.containers[1]?.state === "running");
    const { sandboxes, containers } = await runtime.list();
    const work = containers.find((it) => it.name === "work")?.id ?? "";
    await node.endAgent("SIGKILL");
    await runtime.execSync(work, ["touch", "/all/end"], { timeoutSeconds: 5 });
    await eventually(async () =>
      expect(await runtime.containerDetail(work)).toMatchObject({ state: "exited" }),
    );
    await killSandbox(sandboxes[0]?.id ?? "");
    node.api.reports.length = 0;
    await node.startAgent();

    expect(await told(job, (it) => it.phase === "Failed")).toMatchObject({
      restarts: 0,
      containers: [{ exitCode: 0 }, { exitCode: 4 }],
    });
    expect(await words(job, "done", 1)).toEqual([]);
  },
  PATIENCE_MS,
);

test(
  "a container is ready once its postStart hook has returned, which another agent sees to",
  async () => {
    const hook = "echo hook >> /all/said; until test -e /all/go; do sleep 0.1; done";
    const lifecycle = { postStart: { exec: { command: ["/bin/sh", "-c", hook] } } };
    const pod = aTeam({
      main: [
        { name: "web", script: UNTIL_TERM, more: { lifecycle } },
        { name: "next", script: UNTIL_TERM },
      ],
    });
    node.api.wish([pod]);
    const said = async () => {
      const { containers } = await runtime.list();
      const web = containers.find((it) => it.name === "web")?.id ?? "";
      const command = ["cat", "/all/said"];
      const { stdout } = await runtime.execSync(web, command, { timeoutSeconds: 5 });
      return { web, hooks: Buffer.from(stdout).toString() };
    };
    const { web } = await eventually(
      async () => {
        const now = await said();
        expect(now.hooks).toBe("hook\n");
        return now;
      },
      { withinMs: 30_000 },
    );
    expect(await told(pod, (it) => it.containers[0]?.startedAt !== undefined)).toMatchObject({
      ready: false,
      containers: [
        { name: "web", state: "waiting", reason: "ContainerCreating", ready: false },
        { name: "next", state: "waiting" },
      ],
    });

    await node.endAgent("SIGKILL");
    node.api.reports.length = 0;
    await node.startAgent();
    await eventually(async () => expect((await said()).hooks).toBe("hook\nhook\n"), {
      withinMs: 30_000,
    });
    expect(await told(pod, () => true)).toMatchObject({ ready: false });
    await runtime.execSync(web, ["touch", "/all/go"], { timeoutSeconds: 5 });

    expect(await told(pod, (it) => it.ready)).toMatchObject({ restarts: 0 });
    await node.endAgent("SIGKILL");
    await node.startAgent();
    node.api.reports.length = 0;
    expect(await told(pod, () => true)).toMatchObject({ ready: true });
    expect((await said()).hooks).toBe("hook\nhook\n");
  },
  PATIENCE_MS,
);

test(
  "a pod leaves in order: main containers with their hooks, then sidecars from the last",
  async () => {
    const onTerm = (word: string) =>
      `trap 'echo ${word} >> /all/ends; cat /all/ends; exit 0' TERM; echo up; while :; do sleep 1 & wait $!; done`;
    const pod = aTeam({
      init: [
        { name: "outer", sidecar: true, script: onTerm("outer") },
        { name: "inner", sidecar: true, script: onTerm("inner") },
      ],
      main: [
        {
          name: "web",
          script: onTerm("web"),
          more: {
            lifecycle: {
              preStop: { exec: { command: ["/bin/sh", "-c", "echo hook >> /all/ends"] } },
            },
          },
        },
      ],
    });
    node.api.wish([pod]);
    await told(pod, (it) => it.ready);

    node.api.wish([]);
    await eventually(async () => expect((await runtime.list()).sandboxes).toEqual([]), {
      withinMs: 30_000,
    });

    expect(await words(pod, "outer")).toEqual(["up", "hook", "web", "inner", "outer"]);
  },
  PATIENCE_MS,
);

/** Kills the process that holds a pod's namespaces, and nothing else of it. */
async function killSandbox(id: string): Promise<void> {
  for (const pid of await readdir("/proc")) {
    const group = await readFile(`/proc/${pid}/cgroup`, "utf8").catch(() => "");
    if (group.includes(id)) process.kill(Number(pid), "SIGKILL");
  }
}
