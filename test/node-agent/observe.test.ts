import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Pod } from "../../contract/pod/pod.ts";
import { openPodNotes } from "../../node-agent/disk/pod-notes.ts";
import { openObserver } from "../../node-agent/observe.ts";
import { rolesOf } from "../../node-agent/plan/kinds.ts";
import { containerConfig, sandboxConfig } from "../../node-agent/runtime/cri-config.ts";
import { ANNOTATIONS } from "../../node-agent/runtime/labels.ts";
import type { Runtime } from "../../node-agent/runtime/runtime.ts";
import { openMemoryRuntime } from "../support/memory-runtime.ts";
import { aPodOf, fp, uidOf } from "./a-world.ts";

const IMAGE = aPodOf({}).spec.containers[0]?.image ?? "";
const HOME = { installation: "test", cgroup: "/test", logDir: "/logs", dns: undefined };

async function aRuntime() {
  const memory = openMemoryRuntime([IMAGE]);
  await memory.pullImage(IMAGE, { username: "", password: "" });
  return memory;
}

/** Brings every container of the pod up at once; answers the last one's id. */
async function started(
  runtime: Runtime,
  pod: Pod,
  annotations: Readonly<Record<string, string>> = {},
): Promise<string> {
  const home = { ...HOME, fingerprint: fp(pod) };
  const own = sandboxConfig(pod, home, { attempt: 3, deaths: 2 });
  const config = { ...own, annotations: { ...own.annotations, ...annotations } };
  const sandbox = await runtime.runSandbox(config);
  let last = "";
  for (const role of rolesOf(pod.spec)) {
    const start = { ...role, attempt: 4, restarts: 5, crashes: 1 };
    const given = { env: [], command: [], args: [], mounts: [], imageUser: "" };
    const made = containerConfig(pod, start, home, given);
    last = await runtime.createContainer(sandbox, made, config);
    await runtime.startContainer(last);
  }
  return last;
}

test("what was written on a pod when it was made is read again, whoever made it", async () => {
  const runtime = await aRuntime();
  const pod = aPodOf({ init: [{ name: "fetch" }, { name: "logs", sidecar: true }] });
  await started(runtime, pod);

  const [seen] = await openObserver(runtime, () => undefined)();

  expect(seen).toMatchObject({ spec: pod, fingerprint: fp(pod), attempt: 3, deaths: 2 });
  expect(seen?.graceSeconds).toBe(9);
  expect(seen?.containers).toMatchObject([
    { name: "fetch", kind: "init", attempt: 4, restarts: 5, crashes: 1, state: "running" },
    { name: "logs", kind: "sidecar" },
    { name: "web", kind: "main" },
  ]);
});

test.each(["{", '{"kind":"Pod"}', ""])("a spec that reads %j counts as none", async (text) => {
  const runtime = await aRuntime();
  await started(runtime, aPodOf({}), { [ANNOTATIONS.podSpec]: text });

  const [seen] = await openObserver(runtime, () => undefined)();

  expect(seen).toMatchObject({ spec: undefined, unclear: false });
});

test("a postStart hook has returned once somebody has noted so, of this very start", async () => {
  const runtime = await aRuntime();
  const pod = aPodOf({ main: [{ name: "web", hook: true }, { name: "plain" }] });
  await started(runtime, pod);
  const folder = await mkdtemp(join(tmpdir(), "observe-"));
  const notes = openPodNotes({ podDir: (uid) => join(folder, uid) });
  const observe = openObserver(runtime, () => undefined, notes);
  const web = async () => (await observe())[0]?.containers.find((it) => it.name === "web");
  try {
    const { id = "" } = (await web()) ?? {};
    expect(await web()).toMatchObject({ postStarted: false });
    await notes.write(uidOf(pod), "post-started/web", "the start before");
    expect(await web()).toMatchObject({ postStarted: false });
    await notes.write(uidOf(pod), "post-started/web", id);
    expect(await web()).toMatchObject({ postStarted: true });
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("a dead sandbox is given up once somebody has noted so", async () => {
  const memory = await aRuntime();
  const pod = aPodOf({});
  await started(memory, pod);
  const has = async (uid: string, note: string) => uid === uidOf(pod) && note === "given-up";
  const observe = openObserver(memory, () => undefined, { has });

  expect(await observe()).toMatchObject([{ ready: true, givenUp: false }]);
  memory.reboot();
  expect(await observe()).toMatchObject([{ ready: false, givenUp: true }]);
  expect(await openObserver(memory, () => undefined)()).toMatchObject([{ givenUp: false }]);
});

test("a container that was killed is told with the shortage of memory that is told a moment later", async () => {
  const memory = await aRuntime();
  memory.end(await started(memory, aPodOf({})), 137);
  let asked = 0;
  const runtime = {
    ...memory,
    containerDetail: async (id: string) => {
      const detail = await memory.containerDetail(id);
      asked++;
      return asked === 1 ? detail : { ...detail, reason: "OOMKilled" };
    },
  };
  const observe = openObserver(runtime, () => undefined);

  expect((await observe())[0]?.containers[0]?.detail).toMatchObject({ reason: "OOMKilled" });
  await observe();
  expect(asked).toBe(2);
});

test("a container that the runtime does not tell about makes its own pod unclear, until it does", async () => {
  const memory = await aRuntime();
  const [sick, well] = [aPodOf({}), aPodOf({})];
  const broken = await started(memory, sick);
  await started(memory, well);
  let silent = true;
  const runtime = {
    ...memory,
    containerDetail: async (id: string) => {
      if (silent && id === broken) throw new Error("no answer");
      return memory.containerDetail(id);
    },
  };
  const told: string[] = [];
  const observe = openObserver(runtime, (id) => told.push(id));
  const unclear = async () =>
    (await observe()).filter((it) => it.unclear).map((it) => [it.pod, it.containers[0]?.detail]);

  expect(await unclear()).toEqual([[uidOf(sick), undefined]]);
  expect(await unclear()).toHaveLength(1);
  silent = false;

  expect(await unclear()).toEqual([]);
  expect(told).toEqual([broken]);
});
