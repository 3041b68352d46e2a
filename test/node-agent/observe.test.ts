import { expect, test } from "vitest";
import { openObserver } from "../../node-agent/observe.ts";
import { containerConfig, sandboxConfig } from "../../node-agent/runtime/cri-config.ts";
import { openMemoryRuntime } from "../support/memory-runtime.ts";
import { aPod } from "../support/pods.ts";
import { fp, uidOf } from "./a-world.ts";

test("a container that the runtime does not tell about makes its own pod unclear, until it does", async () => {
  const [sick, well] = [aPod(), aPod({ name: "web-2" })];
  const image = sick.spec.containers[0]?.image ?? "";
  const memory = openMemoryRuntime([image]);
  await memory.pullImage(image, { username: "", password: "" });
  const broken = await started(sick);
  await started(well);
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

  async function started(pod: ReturnType<typeof aPod>): Promise<string> {
    const [container] = pod.spec.containers;
    if (!container) throw new Error("a pod without a container");
    const home = {
      installation: "test",
      fingerprint: fp(pod),
      cgroup: "/test",
      logDir: "/logs",
      volumesDir: "/volumes",
      dns: undefined,
    };
    const config = sandboxConfig(pod, home, 0);
    const sandbox = await memory.runSandbox(config);
    const count = { attempt: 0, restarts: 0, crashes: 0 };
    const made = containerConfig(container, home, count);
    const id = await memory.createContainer(sandbox, made, config);
    await memory.startContainer(id);
    return id;
  }
});
