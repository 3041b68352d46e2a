import { type CriCall, openCriClient } from "./cri-client.ts";
import type { ContainerConfig, SandboxConfig } from "./cri-config.ts";
import { removeWithForgotten, unlessGone } from "./forgotten-tasks.ts";
import { handlersOf, type RuntimeStatus } from "./handlers.ts";
import { LABELS } from "./labels.ts";
import {
  type ContainerState,
  type ContainerUse,
  EXEC_OUTPUT_BYTES,
  type ExecStream,
  type Image,
  type RegistryLogin,
  type Runtime,
} from "./runtime.ts";

const LOOK_MS = 5_000;
const CHANGE_MS = 60_000;
const PULL_MS = 15 * 60_000;

/** The runtime behind a CRI v1 socket, such as containerd's; sees only what carries `installation`. */
export function openCri(endpoint: string, installation: string): Runtime {
  const { call, close } = openCriClient(endpoint);
  return {
    ...looks(call, installation),
    ...changes(call),
    ...commands(call),
    ...images(call),
    close,
  };
}

type Raw = {
  readonly id: string;
  readonly metadata: { readonly name: string; readonly attempt: number };
  readonly state: string;
  readonly created_at: number;
  readonly labels: Record<string, string>;
  readonly annotations: Record<string, string>;
};
type RawContainer = Raw & { readonly pod_sandbox_id: string };

function looks(call: CriCall, installation: string) {
  const filter = { label_selector: { [LABELS.installation]: installation } };
  return {
    async list() {
      const [sandboxes, containers] = await Promise.all([
        call<{ items: Raw[] }>("ListPodSandbox", { filter }, LOOK_MS),
        call<{ containers: RawContainer[] }>("ListContainers", { filter }, LOOK_MS),
      ]);
      return {
        sandboxes: sandboxes.items.map(sandboxRow),
        containers: containers.containers.map(containerRow),
      };
    },
    async sandboxIp(pod_sandbox_id: string) {
      type Answer = { status: { network: { ip: string } | null } | null };
      const answer = await call<Answer>("PodSandboxStatus", { pod_sandbox_id }, LOOK_MS);
      return answer.status?.network?.ip || undefined;
    },
    containerDetail: (id: string) => containerDetail(call, id),
    async stats() {
      const answer = await call<{ stats: RawUse[] }>("ListContainerStats", { filter }, LOOK_MS);
      // An ended container is listed, too, with nothing measured.
      const measured = answer.stats.filter((it) => it.cpu !== null);
      return new Map(measured.map((it) => [it.attributes.id, useOf(it)] as const));
    },
    async handlers() {
      return handlersOf(await call<RuntimeStatus>("Status", { verbose: true }, LOOK_MS));
    },
    async imageFilesystem() {
      type Usage = { fs_id: { mountpoint: string } | null };
      const answer = await call<{ image_filesystems: Usage[] }>("ImageFsInfo", {}, LOOK_MS);
      const [first] = answer.image_filesystems;
      if (!first?.fs_id) throw new Error("the runtime does not tell where its images are");
      return { mountpoint: first.fs_id.mountpoint };
    },
  };
}

function sandboxRow(raw: Raw) {
  return {
    id: raw.id,
    ready: raw.state === "SANDBOX_READY",
    attempt: raw.metadata.attempt,
    createdAtMs: raw.created_at / 1e6,
    labels: raw.labels,
    annotations: raw.annotations,
  };
}

function containerRow(raw: RawContainer) {
  return {
    id: raw.id,
    sandboxId: raw.pod_sandbox_id,
    name: raw.metadata.name,
    attempt: raw.metadata.attempt,
    state: containerState(raw.state),
    createdAtMs: raw.created_at / 1e6,
    annotations: raw.annotations,
  };
}

async function containerDetail(call: CriCall, container_id: string) {
  type Status = {
    state: string;
    started_at: number;
    finished_at: number;
    exit_code: number;
    reason: string;
    message: string;
  };
  const answer = await call<{ status: Status }>("ContainerStatus", { container_id }, LOOK_MS);
  const { status } = answer;
  return {
    state: containerState(status.state),
    startedAtMs: status.started_at / 1e6,
    finishedAtMs: status.finished_at / 1e6,
    exitCode: status.exit_code,
    reason: status.reason,
    message: status.message,
  };
}

function containerState(text: string): ContainerState {
  if (text === "CONTAINER_CREATED") return "created";
  if (text === "CONTAINER_RUNNING") return "running";
  if (text === "CONTAINER_EXITED") return "exited";
  return "unknown";
}

type RawUse = {
  readonly attributes: { readonly id: string };
  readonly cpu: { timestamp: number; usage_core_nano_seconds: { value: number } | null } | null;
  readonly memory: { working_set_bytes: { value: number } | null } | null;
};

function useOf({ cpu, memory }: RawUse): ContainerUse {
  return {
    cpuNanos: cpu?.usage_core_nano_seconds?.value ?? 0,
    atNs: cpu?.timestamp ?? 0,
    memoryBytes: memory?.working_set_bytes?.value ?? 0,
  };
}

function commands(call: CriCall) {
  return {
    async execSync(
      container_id: string,
      cmd: readonly string[],
      { timeoutSeconds: timeout }: { readonly timeoutSeconds: number },
    ) {
      type Answer = { stdout: Buffer; stderr: Buffer; exit_code: number };
      const withinMs = LOOK_MS + timeout * 1_000;
      const answer = await call<Answer>("ExecSync", { container_id, cmd, timeout }, withinMs);
      return {
        exitCode: answer.exit_code,
        stdout: firstBytes(answer.stdout),
        stderr: firstBytes(answer.stderr),
      };
    },
    async execUrl(container_id: string, { command, tty, stdin }: ExecStream) {
      const request = { container_id, cmd: command, tty, stdin, stdout: true, stderr: !tty };
      return (await call<{ url: string }>("Exec", request, LOOK_MS)).url;
    },
  };
}

/** A copy where it is cut, so that the whole answer does not stay in memory behind its beginning. */
function firstBytes(all: Buffer): Uint8Array {
  return all.length > EXEC_OUTPUT_BYTES
    ? Uint8Array.prototype.slice.call(all, 0, EXEC_OUTPUT_BYTES)
    : all;
}

function changes(call: CriCall) {
  return {
    async runSandbox(config: SandboxConfig, runtime_handler = "") {
      type Answer = { pod_sandbox_id: string };
      const request = { config, runtime_handler };
      return (await call<Answer>("RunPodSandbox", request, CHANGE_MS)).pod_sandbox_id;
    },
    async createContainer(
      pod_sandbox_id: string,
      config: ContainerConfig,
      sandbox_config: SandboxConfig,
    ) {
      const request = { pod_sandbox_id, config, sandbox_config };
      type Answer = { container_id: string };
      return (await call<Answer>("CreateContainer", request, CHANGE_MS)).container_id;
    },
    startContainer: (container_id: string) =>
      call<void>("StartContainer", { container_id }, CHANGE_MS),
    stopContainer: (container_id: string, timeout: number) =>
      unlessGone(call("StopContainer", { container_id, timeout }, CHANGE_MS + timeout * 1_000)),
    removeContainer: (container_id: string) =>
      removeWithForgotten(
        call,
        () => unlessGone(call("RemoveContainer", { container_id }, CHANGE_MS)),
        async () => [container_id],
      ),
    stopSandbox: (pod_sandbox_id: string) =>
      unlessGone(call("StopPodSandbox", { pod_sandbox_id }, CHANGE_MS)),
    removeSandbox: (pod_sandbox_id: string) =>
      removeWithForgotten(
        call,
        () => unlessGone(call("RemovePodSandbox", { pod_sandbox_id }, CHANGE_MS)),
        async () => [...(await containersIn(call, pod_sandbox_id)), pod_sandbox_id],
      ),
    reopenLog: (container_id: string) =>
      unlessGone(call("ReopenContainerLog", { container_id }, LOOK_MS)),
  };
}

async function containersIn(call: CriCall, pod_sandbox_id: string): Promise<readonly string[]> {
  const request = { filter: { pod_sandbox_id } };
  const answer = await call<{ containers: RawContainer[] }>("ListContainers", request, LOOK_MS);
  return answer.containers.map((it) => it.id);
}

type RawImage = {
  readonly id: string;
  readonly repo_tags: string[];
  readonly repo_digests: string[];
  readonly uid: { readonly value: number } | null;
  readonly username: string;
};

function images(call: CriCall) {
  return {
    async image(image: string) {
      type Answer = { image: RawImage | null };
      const answer = await call<Answer>("ImageStatus", { image: { image } }, LOOK_MS);
      return answer.image ? imageOf(answer.image) : undefined;
    },
    async images() {
      const answer = await call<{ images: RawImage[] }>("ListImages", {}, LOOK_MS);
      return answer.images.map(imageOf);
    },
    async pullImage(image: string, auth: RegistryLogin) {
      await call("PullImage", { image: { image }, auth }, PULL_MS);
    },
    removeImage: (image: string) =>
      unlessGone(call("RemoveImage", { image: { image } }, CHANGE_MS)),
  };
}

function imageOf(raw: RawImage): Image {
  return {
    id: raw.id,
    references: [...raw.repo_tags, ...raw.repo_digests],
    user: raw.uid ? String(raw.uid.value) : raw.username,
  };
}
