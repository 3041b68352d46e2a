import { randomUUID } from "node:crypto";
import type { ContainerConfig, SandboxConfig } from "../../node-agent/runtime/cri-config.ts";
import {
  type ContainerDetail,
  type ContainerRow,
  type ExecOutcome,
  type Image,
  type Runtime,
  RuntimeError,
  type SandboxRow,
} from "../../node-agent/runtime/runtime.ts";

type Sandbox = SandboxRow & { readonly ip: string; readonly key: string };
type Held = ContainerRow & { readonly detail: ContainerDetail };

/** A runtime that keeps its books and runs nothing: for tests of what the agent decides. */
export type MemoryRuntime = Runtime & {
  /** The container's process ends by itself. */
  end(containerId: string, exitCode: number): void;
  /** What the next commands in its containers answer; `true` otherwise. */
  answerExec(answer: (command: readonly string[]) => ExecOutcome): void;
  /** Every sandbox's own process is gone, as after a reboot. */
  reboot(): void;
};

export function openMemoryRuntime(registry: readonly string[]): MemoryRuntime {
  const sandboxes = new Map<string, Sandbox>();
  const containers = new Map<string, Held>();
  const images = new Map<string, Image>();

  let answerExec = (_command: readonly string[]): ExecOutcome => ({
    exitCode: 0,
    stdout: new Uint8Array(),
    stderr: new Uint8Array(),
  });

  function known<T>(map: ReadonlyMap<string, T>, id: string, call: string): T {
    const found = map.get(id);
    if (found === undefined) throw new RuntimeError(call, "NOT_FOUND", new Error(id));
    return found;
  }

  function ended(id: string, exitCode: number, reason: string): void {
    const held = containers.get(id);
    if (held?.state !== "running") return;
    const detail = {
      ...held.detail,
      state: "exited",
      exitCode,
      reason,
      finishedAtMs: Date.now(),
    } as const;
    containers.set(id, { ...held, state: "exited", detail });
  }

  return {
    list: async () => ({
      sandboxes: [...sandboxes.values()],
      containers: [...containers.values()],
    }),
    sandboxIp: async (id) => known(sandboxes, id, "PodSandboxStatus").ip,
    containerDetail: async (id) => known(containers, id, "ContainerStatus").detail,
    async runSandbox(config: SandboxConfig, handler = "memory") {
      if (handler !== "memory")
        throw new RuntimeError("RunPodSandbox", "UNKNOWN", new Error(`no handler "${handler}"`));
      const key = JSON.stringify(config.metadata);
      if ([...sandboxes.values()].some((it) => it.key === key))
        throw new RuntimeError("RunPodSandbox", "UNKNOWN", new Error("the name is taken"));
      const { attempt } = config.metadata;
      const { labels, annotations } = config;
      const id = randomUUID();
      const ip = `10.0.0.${sandboxes.size + 2}`;
      const createdAtMs = Date.now();
      sandboxes.set(id, { id, ready: true, attempt, createdAtMs, labels, annotations, ip, key });
      return id;
    },
    async createContainer(sandboxId, config: ContainerConfig) {
      known(sandboxes, sandboxId, "CreateContainer");
      if (!images.has(config.image.image))
        throw new RuntimeError("CreateContainer", "NOT_FOUND", new Error("no such image"));
      const { name, attempt } = config.metadata;
      for (const it of containers.values()) {
        if (it.sandboxId === sandboxId && it.name === name && it.attempt === attempt)
          throw new RuntimeError("CreateContainer", "UNKNOWN", new Error("the name is taken"));
      }
      const id = randomUUID();
      const detail = {
        state: "created",
        startedAtMs: 0,
        finishedAtMs: 0,
        exitCode: 0,
        reason: "",
        message: "",
      } as const;
      const { annotations } = config;
      const createdAtMs = Date.now();
      containers.set(id, {
        id,
        sandboxId,
        name,
        attempt,
        state: "created",
        createdAtMs,
        annotations,
        detail,
      });
      return id;
    },
    async startContainer(id) {
      const held = known(containers, id, "StartContainer");
      if (held.state !== "created")
        throw new RuntimeError("StartContainer", "UNKNOWN", new Error(held.state));
      const detail = { ...held.detail, state: "running", startedAtMs: Date.now() } as const;
      containers.set(id, { ...held, state: "running", detail });
    },
    stopContainer: async (id) => ended(id, 143, "Error"),
    removeContainer: async (id) => void containers.delete(id),
    async stopSandbox(id) {
      for (const it of containers.values()) if (it.sandboxId === id) ended(it.id, 137, "Error");
      const held = sandboxes.get(id);
      if (held) sandboxes.set(id, { ...held, ready: false });
    },
    async removeSandbox(id) {
      for (const it of containers.values()) if (it.sandboxId === id) containers.delete(it.id);
      sandboxes.delete(id);
    },
    reopenLog: async () => undefined,
    async execSync(id, command) {
      if (known(containers, id, "ExecSync").state !== "running")
        throw new RuntimeError("ExecSync", "UNKNOWN", new Error("the container does not run"));
      return answerExec(command);
    },
    async execUrl(id) {
      known(containers, id, "Exec");
      throw new RuntimeError("Exec", "UNIMPLEMENTED", new Error("there is no streaming server"));
    },
    async stats() {
      const running = [...containers.values()].filter((it) => it.state === "running");
      const atNs = Date.now() * 1e6;
      return new Map(running.map((it) => [it.id, { cpuNanos: 0, atNs, memoryBytes: 0 }] as const));
    },
    handlers: async () => ["memory"],
    imageFilesystem: async () => ({ mountpoint: "/" }),
    image: async (reference) => images.get(reference),
    images: async () => [...images.values()],
    async pullImage(reference) {
      if (!registry.includes(reference))
        throw new RuntimeError("PullImage", "NOT_FOUND", new Error(`${reference}: not found`));
      images.set(reference, { id: reference, references: [reference], user: "" });
    },
    removeImage: async (id) => void images.delete(id),
    close: async () => undefined,
    answerExec(answer) {
      answerExec = answer;
    },
    end: (id, exitCode) => ended(id, exitCode, exitCode === 0 ? "Completed" : "Error"),
    reboot() {
      for (const it of containers.values()) ended(it.id, 255, "Unknown");
      for (const [id, it] of sandboxes) sandboxes.set(id, { ...it, ready: false });
    },
  };
}
