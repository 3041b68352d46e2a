import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Container, Pod } from "../contract/pod/pod.ts";
import { openCri } from "../node-agent/runtime/cri.ts";
import { containerConfig, type PodHome, sandboxConfig } from "../node-agent/runtime/cri-config.ts";

export type RawPods = {
  pull(image: string): Promise<void>;
  /** RunPodSandbox, CreateContainer, StartContainer: the least that any agent has to ask. */
  run(pod: Pod, image: string): Promise<{ sandbox: string; ip: string }>;
  remove(sandbox: string): Promise<void>;
  close(): void;
};

/** The baseline of a pod: CRI calls and nothing else, in a containerd whose owner takes all of it away. */
export function openRawPods(
  host: { readonly endpoint: string; readonly cgroup: string },
  workDir: string,
): RawPods {
  const runtime = openCri(host.endpoint, "bench");
  const homeOf = (pod: Pod): PodHome => ({
    installation: "bench",
    fingerprint: "bench",
    cgroup: `${host.cgroup}/bench-${pod.metadata.uid}`,
    logDir: join(workDir, pod.metadata.uid, "logs"),
    dns: undefined,
  });
  const volumeDir = (pod: Pod, name: string) => join(workDir, pod.metadata.uid, name);
  const givenTo = (pod: Pod, container: Container) => ({
    env: container.env.map(({ name, value = "" }) => ({ name, value })),
    command: container.command ?? [],
    args: container.args ?? [],
    mounts: container.volumeMounts.map(({ name, mountPath }) => ({
      containerPath: mountPath,
      hostPath: volumeDir(pod, name),
      readOnly: false,
    })),
    imageUser: "",
  });
  return {
    pull: (image) => runtime.pullImage(image, { username: "", password: "" }),
    run: async (pod, image) => {
      const home = homeOf(pod);
      await mkdir(home.logDir, { recursive: true });
      for (const { name } of pod.spec.volumes) await mkdir(volumeDir(pod, name), { mode: 0o777 });
      const [container] = pod.spec.containers;
      if (!container) throw new Error("a pod without a container");
      const config = sandboxConfig(pod, home, { attempt: 0, deaths: 0 });
      const sandbox = await runtime.runSandbox(config);
      const start = { kind: "main", attempt: 0, restarts: 0, crashes: 0 } as const;
      const id = await runtime.createContainer(
        sandbox,
        containerConfig(
          pod,
          { ...start, container: { ...container, image } },
          home,
          givenTo(pod, container),
        ),
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
