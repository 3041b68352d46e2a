import type { ContainerConfig, SandboxConfig } from "./cri-config.ts";

/** A row of the runtime's list: what a sandbox says of itself without a second question. */
export type SandboxRow = {
  readonly id: string;
  /** False once its own process has ended, as after a reboot. */
  readonly ready: boolean;
  readonly attempt: number;
  readonly createdAtMs: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
};

export type ContainerState = "created" | "running" | "exited" | "unknown";

export type ContainerRow = {
  readonly id: string;
  readonly sandboxId: string;
  readonly name: string;
  readonly attempt: number;
  readonly state: ContainerState;
  readonly createdAtMs: number;
  readonly annotations: Readonly<Record<string, string>>;
};

export type ContainerDetail = {
  readonly state: ContainerState;
  readonly startedAtMs: number;
  /** 0 while it has not ended. */
  readonly finishedAtMs: number;
  readonly exitCode: number;
  readonly reason: string;
  readonly message: string;
};

export type Image = {
  readonly id: string;
  /** Every name that it is known by, with a tag or a digest. */
  readonly references: readonly string[];
  /** The user that it asks to run as: a number where the image gives one, else a name, else empty. */
  readonly user: string;
};

/** What a command did; each stream is cut after EXEC_OUTPUT_BYTES. */
export type ExecOutcome = {
  readonly exitCode: number;
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
};
export const EXEC_OUTPUT_BYTES = 1024 * 1024;

/** What a container has taken since it was started, and what memory it works with. */
export type ContainerUse = {
  readonly cpuNanos: number;
  /** When the runtime measured the time above, in ns since the epoch. */
  readonly atNs: number;
  readonly memoryBytes: number;
};

export type ExecStream = {
  readonly command: readonly string[];
  /** One stream for both outputs, as a terminal has it. */
  readonly tty: boolean;
  readonly stdin: boolean;
};

export type RegistryLogin = { readonly username: string; readonly password: string };

/**
 * What the agent needs of a container runtime. Every call is bounded in time, may be repeated, and
 * answers "gone already" as success. A list is whole or it throws: it is never part of one.
 */
export interface Runtime {
  /** All that carries the installation's label, sandboxes before the containers in them. */
  list(): Promise<{
    readonly sandboxes: readonly SandboxRow[];
    readonly containers: readonly ContainerRow[];
  }>;
  /** Undefined while the sandbox has no address. */
  sandboxIp(sandboxId: string): Promise<string | undefined>;
  containerDetail(containerId: string): Promise<ContainerDetail>;
  /** `handler` is one of `handlers()`; undefined is the runtime's own choice. */
  runSandbox(config: SandboxConfig, handler?: string): Promise<string>;
  createContainer(
    sandboxId: string,
    config: ContainerConfig,
    sandbox: SandboxConfig,
  ): Promise<string>;
  startContainer(containerId: string): Promise<void>;
  /** SIGTERM, then SIGKILL after `graceSeconds`; resolves when the container has ended. */
  stopContainer(containerId: string, graceSeconds: number): Promise<void>;
  removeContainer(containerId: string): Promise<void>;
  stopSandbox(sandboxId: string): Promise<void>;
  removeSandbox(sandboxId: string): Promise<void>;
  reopenLog(containerId: string): Promise<void>;
  /**
   * Runs a command in a running container and waits for its end. Rejects with a RuntimeError where it
   * cannot be started, and with the code DEADLINE_EXCEEDED when it was killed after `timeoutSeconds`.
   */
  execSync(
    containerId: string,
    command: readonly string[],
    limits: { readonly timeoutSeconds: number },
  ): Promise<ExecOutcome>;
  /** Where a command can be run and talked to: an URL of the runtime's streaming server, good for once. */
  execUrl(containerId: string, stream: ExecStream): Promise<string>;
  /** By container id; what has ended is not in it. */
  stats(): Promise<ReadonlyMap<string, ContainerUse>>;
  /** What a `runtimeClassName` may name. */
  handlers(): Promise<readonly string[]>;
  /** The file system that images are on; `mountpoint` is a folder in it. */
  imageFilesystem(): Promise<{ readonly mountpoint: string }>;
  image(reference: string): Promise<Image | undefined>;
  images(): Promise<readonly Image[]>;
  pullImage(reference: string, login: RegistryLogin): Promise<void>;
  removeImage(id: string): Promise<void>;
  /**
   * Takes no more calls, and resolves when those under way were answered: a runtime does not clean up
   * well after a start whose caller went away.
   */
  close(): Promise<void>;
}

/** A call that the runtime refused or did not answer; `code` is gRPC's name for it. */
export class RuntimeError extends Error {
  readonly call: string;
  readonly code: string;
  constructor(call: string, code: string, cause: unknown) {
    super(`the runtime did not do ${call} (${code})`, { cause });
    this.call = call;
    this.code = code;
  }
}
