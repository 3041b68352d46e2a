import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { logTail } from "../../node-agent/host/log-tail.ts";
import { logFileName } from "../../node-agent/runtime/cri-config.ts";
import { PROGRAM_FOLDERS } from "../../standalone/parts/containerd.ts";
import { findHandlers } from "../../standalone/parts/handlers.ts";
import { eventually } from "../support/eventually.ts";
import { type PodHost, startPodHost } from "../support/pod-host.ts";
import { aPod } from "../support/pods.ts";

/* A second handler for real: gVisor, as Debian has it, beside runc. */

let host: PodHost;

beforeAll(async () => {
  host = await startPodHost(await findHandlers(PROGRAM_FOLDERS));
});
afterAll(() => host[Symbol.asyncDispose](), 60_000);

test("the runtime tells of the handlers that are installed on its host", async () => {
  expect(await host.runtime.handlers()).toEqual(expect.arrayContaining(["runc", "runsc"]));
});

test("a pod runs under the handler that it names, all its containers on one kernel of their own", async () => {
  const command = ["sh", "-c", "echo first words; exit 7"];
  const beside = { name: "beside", image: host.image, restartPolicy: "Always", command };
  const pod = aPod({
    image: host.image,
    spec: { runtimeClassName: "runsc", initContainers: [beside] },
  });

  const { ip } = await host.start(pod);

  expect(await host.run(pod, "web", "dmesg")).toMatch(/gVisor/);
  await eventually(async () =>
    expect(await (await fetch(`http://${ip}:8080/`)).text()).toBe("hello from busybox\n"),
  );
  await eventually(async () =>
    expect(await host.container(pod, "beside")).toMatchObject({
      state: "exited",
      detail: { exitCode: 7 },
    }),
  );
  const log = join(host.places.logDir(pod.metadata.uid), logFileName("beside", 0));
  expect(await logTail(log, 5)).toEqual(["first words"]);
  const group = `/sys/fs/cgroup/memory${host.places.podCgroup(pod.metadata.uid)}`;
  const unified = await readFile("/sys/fs/cgroup/cgroup.controllers", "utf8").catch(
    () => undefined,
  );
  if (unified === undefined)
    expect(await readFile(`${group}/memory.limit_in_bytes`, "utf8")).toBe(
      `${(64 + 256 + 128) * 1024 * 1024}\n`,
    );
  await host.remove(pod);
  expect((await host.runtime.list()).sandboxes).toEqual([]);
});

test("a pod that names no handler runs under runc, and one of an unknown name does not run", async () => {
  const plain = aPod({ image: host.image });
  const strange = aPod({ image: host.image, spec: { runtimeClassName: "nonsense" } });

  await host.start(plain);

  expect(await host.run(plain, "web", "dmesg || true")).not.toMatch(/gVisor/);
  await expect(host.start(strange)).rejects.toMatchObject({
    reason: "FailedCreatePodSandBox",
    message: expect.stringContaining("nonsense"),
  });
  for (const pod of [plain, strange]) await host.remove(pod);
});
