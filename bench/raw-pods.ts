import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Pod } from "../contract/pod.ts";
import { openCri } from "../node-agent/runtime/cri.ts";
import { containerConfig, type PodHome, sandboxConfig } from "../node-agent/runtime/cri-config.ts";

export type RawPods = {
  pull(image: string): Promise<void>;
  /** RunPodSandbox, CreateContainer, StartContainer: the least that any agent has to ask. */
  run(pod: Pod, image: string): Promise<{ sandbox: string; ip: string }>;
  remove(sandbox: string): Promise<void>;
  close(): void;
};

/** The baseline of a pod: CRI calls and nothing else, in the containerd of the installation `id`, whose `down` takes it all away. */
export function openRawPods(id: string, workDir: string): RawPods {
  const runtime = openCri(`unix:///run/waybill-${id}/containerd.sock`, "bench");
  const homeOf = (pod: Pod): PodHome => ({
    installation: "bench",
    fingerprint: "bench",
    cgroup: `/waybill-${id}/bench-${pod.metadata.uid}`,
    logDir: join(workDir, pod.metadata.uid, "logs"),
    volumesDir: join(workDir, pod.metadata.uid),
    dns: undefined,
  });
  return {
    pull: (image) => runtime.pullImage(image, { username: "", password: "" }),
    run: async (pod, image) => {
      const home = homeOf(pod);
      await mkdir(home.logDir, { recursive: true });
      for (const { name } of pod.spec.volumes)
        await mkdir(join(home.volumesDir, name), { mode: 0o777 });
      const [container] = pod.spec.containers;
      if (!container) throw new Error("a pod without a container");
      const config = sandboxConfig(pod, home, 0);
      const sandbox = await runtime.runSandbox(config);
      const count = { attempt: 0, restarts: 0, crashes: 0 };
      const id = await runtime.createContainer(
        sandbox,
        containerConfig({ ...container, image }, home, count),
        config,
      );
      await runtime.startContainer(id);
      return { sandbox, ip: (await runtime.sandboxIp(sandbox)) ?? "" };
    },
    remove: async (sandbox) => {
      await runtime.stopSandbox(sandbox);
      await runtime.removeSandbox(sandbox);
    },
    close: () => {
      runtime.close();
      void rm(workDir, { recursive: true, force: true });
    },
  };
}
