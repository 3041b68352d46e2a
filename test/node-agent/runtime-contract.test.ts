import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PAUSE_IMAGE } from "../../contract/node/protocol.ts";
import { writeRegistryHosts } from "../../node-agent/act/images.ts";
import { placesIn } from "../../node-agent/disk/places.ts";
import { openCri } from "../../node-agent/runtime/cri.ts";
import { containerConfig, sandboxConfig } from "../../node-agent/runtime/cri-config.ts";
import { LABELS } from "../../node-agent/runtime/labels.ts";
import type { Runtime } from "../../node-agent/runtime/runtime.ts";
import { EXEC_OUTPUT_BYTES, RuntimeError } from "../../node-agent/runtime/runtime.ts";
import { startContainerd } from "../support/containerd.ts";
import { eventually } from "../support/eventually.ts";
import { startForgottenTask, tasksIn } from "../support/forgotten-task.ts";
import { openMemoryRuntime } from "../support/memory-runtime.ts";
import { startNodeApi } from "../support/node-api.ts";
import { A_DIGEST, aPod } from "../support/pods.ts";
import { startRegistry } from "../support/registry.ts";
import { pushBusybox, pushPause } from "../support/test-image.ts";

type Setting = {
  readonly runtime: Runtime;
  readonly image: string;
  readonly password: string;
  readonly dir: string;
  readonly installation: string;
  readonly endpoint?: string;
};

const stack = new AsyncDisposableStack();
const settings = new Map<string, Setting>();

beforeAll(async () => {
  const image = `waybill.internal/apps/web@${A_DIGEST}`;
  settings.set("in memory", {
    runtime: openMemoryRuntime([image, PAUSE_IMAGE]),
    image,
    password: "any",
    dir: "/nowhere",
    installation: "memory",
  });
  const registry = stack.use(await startRegistry());
  const [busybox] = await Promise.all([
    pushBusybox(registry.url, "apps/web"),
    pushPause(registry.url),
  ]);
  const api = stack.use(await startNodeApi(registry.url));
  const containerd = stack.use(await startContainerd());
  await writeRegistryHosts(containerd.hostsDir, api.url);
  const joined = await fetch(`${api.url}/v1/node/join`, {
    method: "POST",
    headers: { authorization: `Bearer ${api.joinToken}` },
    body: JSON.stringify({ version: "test", publicKey: Buffer.alloc(32).toString("base64") }),
  });
  const { token } = (await joined.json()) as { token: string };
  settings.set("containerd", {
    runtime: stack.adopt(openCri(containerd.endpoint, containerd.installation), (it) => it.close()),
    image: `waybill.internal/apps/web@${busybox.digest}`,
    password: token,
    dir: containerd.dir,
    installation: containerd.installation,
    endpoint: containerd.endpoint,
  });
});
afterAll(() => stack.disposeAsync());

describe.each(["in memory", "containerd"])("the runtime %s", (kind) => {
  const setting = () => settings.get(kind) as Setting;

  async function sandbox() {
    const { runtime, image, password, dir, installation } = setting();
    for (const it of [image, PAUSE_IMAGE])
      await runtime.pullImage(it, { username: "node", password });
    const pod = aPod({ image });
    const { uid } = pod.metadata;
    const places = placesIn(`${dir}/agent`, `/${installation}`);
    const home = {
      installation,
      fingerprint: "f1",
      cgroup: places.podCgroup(uid),
      logDir: places.logDir(uid),
      dns: undefined,
    };
    const config = sandboxConfig(pod, home, { attempt: 0, deaths: 0 });
    const id = await runtime.runSandbox(config);
    const given = { env: [], command: [], args: [], mounts: [], imageUser: "" };
    const [spec] = pod.spec.containers;
    if (!spec) throw new Error("a pod without a container");
    const create = (attempt: number) =>
      runtime.createContainer(
        id,
        containerConfig(
          pod,
          { container: spec, kind: "main", attempt, restarts: 7, crashes: 3 },
          home,
          given,
        ),
        config,
      );
    return { runtime, pod, id, config, create };
  }

  async function listed(runtime: Runtime, id: string) {
    const { sandboxes, containers } = await runtime.list();
    return {
      sandbox: sandboxes.find((it) => it.id === id),
      containers: containers.filter((it) => it.sandboxId === id),
    };
  }

  test("does not know an image before it was pulled with the node's token, and knows it afterwards", async () => {
    const { runtime, password } = setting();
    const nowhere = `waybill.internal/apps/nowhere@${A_DIGEST.replaceAll("a", "b")}`;

    await expect(runtime.pullImage(nowhere, { username: "node", password })).rejects.toThrow(
      RuntimeError,
    );
    expect(await runtime.image(nowhere)).toBeUndefined();
    const { image } = setting();
    await runtime.pullImage(image, { username: "node", password });
    expect((await runtime.image(image))?.references).toContain(image);
    expect((await runtime.images()).flatMap((it) => it.references)).toContain(image);
  });

  test("carries a pod from its sandbox to nothing, and says at each turn where it stands", async () => {
    const { runtime, pod, id, create } = await sandbox();

    const made = await listed(runtime, id);
    expect(made.sandbox).toMatchObject({ ready: true, attempt: 0 });
    expect(made.sandbox?.labels).toMatchObject({
      [LABELS.pod]: pod.metadata.uid,
      [LABELS.fingerprint]: "f1",
    });
    expect(await runtime.sandboxIp(id)).toMatch(/^10\./);
    const container = await create(0);
    expect((await listed(runtime, id)).containers).toMatchObject([
      { id: container, name: "web", attempt: 0, state: "created" },
    ]);
    await runtime.startContainer(container);
    const running = await runtime.containerDetail(container);
    expect(running).toMatchObject({ state: "running", finishedAtMs: 0 });
    expect(Math.abs(Date.now() - running.startedAtMs)).toBeLessThan(60_000);
    await runtime.stopContainer(container, 0);
    const ended = await runtime.containerDetail(container);
    expect(ended.state).toBe("exited");
    expect(ended.exitCode).toBeGreaterThan(0);
    expect(ended.finishedAtMs).toBeGreaterThanOrEqual(ended.startedAtMs);
    await runtime.stopSandbox(id);
    expect((await listed(runtime, id)).sandbox?.ready).toBe(false);
    await runtime.removeSandbox(id);
    expect(await listed(runtime, id)).toEqual({ sandbox: undefined, containers: [] });
  });

  test("takes neither a second sandbox nor a second container of the same attempt", async () => {
    const { runtime, id, config, create } = await sandbox();
    await create(0);

    await expect(runtime.runSandbox(config)).rejects.toThrow(RuntimeError);
    await expect(create(0)).rejects.toThrow(RuntimeError);
    expect((await listed(runtime, id)).containers).toHaveLength(1);
    await runtime.removeSandbox(id);
  });

  test("is asked twice to stop and to remove, and agrees", async () => {
    const { runtime, id, create } = await sandbox();
    const container = await create(0);
    await runtime.startContainer(container);

    await runtime.stopContainer(container, 0);
    await runtime.stopContainer(container, 0);
    await runtime.removeContainer(container);
    await runtime.removeContainer(container);
    await runtime.stopSandbox(id);
    await runtime.stopSandbox(id);
    await runtime.removeSandbox(id);
    await runtime.removeSandbox(id);

    await eventually(async () => expect((await listed(runtime, id)).sandbox).toBeUndefined());
  });

  test("runs a command in a container that runs, and in no other", async () => {
    const { runtime, id, create } = await sandbox();
    const container = await create(0);
    const run = () => runtime.execSync(container, ["true"], { timeoutSeconds: 5 });

    await expect(run()).rejects.toThrow(RuntimeError);
    await runtime.startContainer(container);
    expect(await run()).toMatchObject({ exitCode: 0 });
    await runtime.removeSandbox(id);
  });

  test("tells what running containers take, and where images are", async () => {
    const { runtime, id, create } = await sandbox();
    const [running, ended] = [await create(0), await create(1)];
    await runtime.startContainer(running);
    await runtime.startContainer(ended);
    // A busy containerd may lose the word of its shim on the way; whoever stops asks again.
    await eventually(() => runtime.stopContainer(ended, 0));

    const stats = await runtime.stats();

    expect(stats.get(running)?.cpuNanos).toBeGreaterThanOrEqual(0);
    expect(Math.abs(Date.now() - (stats.get(running)?.atNs ?? 0) / 1e6)).toBeLessThan(60_000);
    expect(stats.has(ended)).toBe(false);
    expect((await runtime.imageFilesystem()).mountpoint).toMatch(/^\//);
    await runtime.removeSandbox(id);
  });

  test("has handlers, and starts nothing under one that it does not have", async () => {
    const { runtime, id, config } = await sandbox();
    const next = (attempt: number) => ({ ...config, metadata: { ...config.metadata, attempt } });
    const [handler] = await runtime.handlers();

    await expect(runtime.runSandbox(next(1), "nonsense")).rejects.toThrow(RuntimeError);
    const second = await runtime.runSandbox(next(2), handler);

    for (const it of [id, second]) await runtime.removeSandbox(it);
    expect(handler).toBeDefined();
  });
});

test("a connection that is closed waits for the start that was asked of it", async () => {
  const { runtime, endpoint = "", installation, dir } = settings.get("containerd") as Setting;
  const pod = aPod();
  const places = placesIn(`${dir}/agent`, `/${installation}`);
  const home = {
    installation,
    fingerprint: "f1",
    cgroup: places.podCgroup(pod.metadata.uid),
    logDir: places.logDir(pod.metadata.uid),
    dns: undefined,
  };
  const other = openCri(endpoint, installation);

  const started = other.runSandbox(sandboxConfig(pod, home, { attempt: 0, deaths: 0 }));
  await other.close();

  const { sandboxes } = await runtime.list();
  expect(sandboxes.filter((it) => it.ready).map((it) => it.id)).toContain(await started);
  await expect(other.list()).rejects.toThrow(RuntimeError);
  await runtime.removeSandbox(await started);
});

describe("a command in a real container", () => {
  async function running() {
    const { runtime, image, password, dir, installation } = settings.get("containerd") as Setting;
    for (const it of [image, PAUSE_IMAGE])
      await runtime.pullImage(it, { username: "node", password });
    const pod = aPod({ image });
    const places = placesIn(`${dir}/agent`, `/${installation}`);
    const home = {
      installation,
      fingerprint: "f1",
      cgroup: places.podCgroup(pod.metadata.uid),
      logDir: places.logDir(pod.metadata.uid),
      dns: undefined,
    };
    const config = sandboxConfig(pod, home, { attempt: 0, deaths: 0 });
    const sandbox = await runtime.runSandbox(config);
    const [container] = pod.spec.containers;
    if (!container) throw new Error("a pod without a container");
    const start = { container, kind: "main", attempt: 0, restarts: 0, crashes: 0 } as const;
    const given = { env: [], command: [], args: [], mounts: [], imageUser: "" };
    const id = await runtime.createContainer(
      sandbox,
      containerConfig(pod, start, home, given),
      config,
    );
    await runtime.startContainer(id);
    return { runtime, id, sandbox };
  }

  test("answers its code and both outputs, bounded, ends in time, and is named when it is not there", async () => {
    const { runtime, id, sandbox } = await running();
    const run = (command: string, timeoutSeconds = 10) =>
      runtime.execSync(id, ["sh", "-c", command], { timeoutSeconds });
    const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("utf8");

    const said = await run("echo out; echo err >&2; exit 7");
    const flood = await run("dd if=/dev/zero bs=1024 count=3000 2>/dev/null");
    const late = run("sleep 30", 1);

    expect([said.exitCode, text(said.stdout), text(said.stderr)]).toEqual([7, "out\n", "err\n"]);
    expect(flood.stdout.length).toBe(EXEC_OUTPUT_BYTES);
    await expect(late).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    await expect(runtime.execSync(id, ["/nowhere"], { timeoutSeconds: 5 })).rejects.toThrow(
      RuntimeError,
    );
    expect(await runtime.execUrl(id, { command: ["sh"], tty: true, stdin: true })).toMatch(
      /^http:\/\/127\.0\.0\.1:/,
    );
    await runtime.removeSandbox(sandbox);
  });

  async function endedWithForgottenTask() {
    const { endpoint = "" } = settings.get("containerd") as Setting;
    const { runtime, id, sandbox } = await running();
    await runtime.stopContainer(id, 0);
    await startForgottenTask(endpoint, id);
    expect((await runtime.containerDetail(id)).state).toBe("exited");
    return { runtime, endpoint, id, sandbox };
  }

  test("is removed alone or with its pod where the runtime holds a task of it that it knows no more", async () => {
    const [alone, withPod] = [await endedWithForgottenTask(), await endedWithForgottenTask()];
    const { runtime, endpoint } = alone;

    await runtime.removeContainer(alone.id);
    await runtime.stopSandbox(withPod.sandbox);
    await runtime.removeSandbox(withPod.sandbox);

    const { sandboxes, containers } = await runtime.list();
    const known = [...sandboxes, ...containers].map((it) => it.id);
    for (const ids of [known, await tasksIn(endpoint)]) {
      expect(ids).toContain(alone.sandbox);
      for (const it of [alone.id, withPod.id, withPod.sandbox]) expect(ids).not.toContain(it);
    }
    await runtime.removeSandbox(alone.sandbox);
  });
});
