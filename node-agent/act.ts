import { rm } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { ensurePodCgroup, removeCgroup } from "./host/cgroups.ts";
import { ensureVolumes, removeMountedFolder } from "./host/volumes.ts";
import type { ImageStore } from "./images.ts";
import type { SeenSandbox } from "./observe.ts";
import type { Places } from "./places.ts";
import type { ContainerStart, Step } from "./plan.ts";
import {
  containerConfig,
  type DnsConfig,
  nonRootProblem,
  type PodHome,
  type SandboxConfig,
  sandboxConfig,
} from "./runtime/cri-config.ts";
import type { Image, Runtime } from "./runtime/runtime.ts";

export type Hands = {
  readonly runtime: Runtime;
  readonly images: ImageStore;
  readonly places: Places;
  readonly dns: () => DnsConfig | undefined;
  /** Resolves when no request is sent to this address any more, or soon anyway. */
  readonly withdrawn: (ip: string) => Promise<void>;
};

type Do = Step["do"];
export type Executors = {
  readonly [D in Do]: (step: Step<D>, givenUp: AbortSignal) => Promise<void>;
};

/** A pod can not start as it was asked for; `reason` is Kubernetes' word for it. */
export class StartError extends Error {
  readonly reason: string;
  constructor(reason: string, message: string, cause?: unknown) {
    super(message, { cause });
    this.reason = reason;
  }
}

/** Requests that were under way when a pod left the routes get this long before SIGTERM. */
const DRAIN_MS = 1_000;

/**
 * What carries out each kind of step. Every one may be repeated from anywhere in it. A start that is
 * given up rejects rather than wait for its images, which may take a quarter of an hour.
 */
export function executors(hands: Hands): Executors {
  return {
    "start-pod": (step, givenUp) => startPod(hands, step, givenUp),
    "remove-sandboxes": (step) => removeSandboxes(hands, step),
    "stop-container": (step) => hands.runtime.stopContainer(step.container, step.graceSeconds),
    "remove-containers": async (step) => {
      for (const id of step.containers) await hands.runtime.removeContainer(id);
    },
  };
}

export function perform<D extends Do>(
  table: Executors,
  step: Step<D>,
  givenUp: AbortSignal,
): Promise<void> {
  return table[step.do as D](step, givenUp);
}

/**
 * The image comes while the sandbox and the volumes are being made; none of them waits for another,
 * and the sandbox, which takes longest, is asked for first.
 */
async function startPod(
  hands: Hands,
  step: Step<"start-pod">,
  givenUp: AbortSignal,
): Promise<void> {
  const home = homeOf(hands, step);
  const config = sandboxConfig(step.pod, home, step.attempt);
  const [sandbox, images] = await allDone([
    sandboxFor(hands, step, config),
    orGivenUp(Promise.all(step.starts.map((it) => pulled(hands, it))), givenUp),
    ensureVolumes(step.pod, home.volumesDir),
    ensurePodCgroup(home.cgroup),
  ] as const);
  for (const [at, it] of step.starts.entries()) {
    const problem = nonRootProblem(it.container, images[at]?.user ?? "");
    if (problem !== undefined) throw new StartError("CreateContainerConfigError", problem);
    const id = it.existing ?? (await created(hands, it, sandbox, home, config));
    await named("RunContainerError", hands.runtime.startContainer(id));
  }
}

function homeOf(hands: Hands, step: Step<"start-pod">): PodHome {
  const { places } = hands;
  return {
    installation: places.installation,
    fingerprint: step.fingerprint,
    cgroup: places.podCgroup(step.uid),
    logDir: places.logDir(step.uid),
    volumesDir: places.volumesDir(step.uid),
    dns: hands.dns(),
  };
}

async function sandboxFor(
  hands: Hands,
  step: Step<"start-pod">,
  config: SandboxConfig,
): Promise<string> {
  if (step.sandbox !== undefined) return step.sandbox;
  await hands.images.ensurePause();
  return named("FailedCreatePodSandBox", hands.runtime.runSandbox(config));
}

function pulled(hands: Hands, start: ContainerStart): Promise<Image> {
  return named("ErrImagePull", hands.images.ensure(start.container.image));
}

/** The pull itself goes on for whoever may want the image next; an unwanted one is cleaned up later. */
function orGivenUp<T>(work: Promise<T>, givenUp: AbortSignal): Promise<T> {
  const ended = Promise.withResolvers<never>();
  const end = () => ended.reject(givenUp.reason);
  if (givenUp.aborted) end();
  givenUp.addEventListener("abort", end, { once: true });
  return Promise.race([work, ended.promise]).finally(() =>
    givenUp.removeEventListener("abort", end),
  );
}

function created(
  hands: Hands,
  start: ContainerStart,
  sandbox: string,
  home: PodHome,
  config: SandboxConfig,
): Promise<string> {
  const container = containerConfig(start.container, home, start);
  return named("CreateContainerError", hands.runtime.createContainer(sandbox, container, config));
}

async function removeSandboxes(hands: Hands, step: Step<"remove-sandboxes">): Promise<void> {
  await Promise.all(step.sandboxes.map((it) => removeSandbox(hands, it)));
  if (!step.whole) return;
  const { places } = hands;
  await removeMountedFolder(places.podDir(step.uid));
  await removeCgroup(places.podCgroup(step.uid));
  await rm(places.logDir(step.uid), { recursive: true, force: true });
}

/** Out of the routes, then a breath for requests under way, then SIGTERM, then gone. */
async function removeSandbox({ runtime, withdrawn }: Hands, sandbox: SeenSandbox): Promise<void> {
  const running = sandbox.containers.filter((it) => it.state === "running");
  if (running.length > 0 && sandbox.ip !== undefined) {
    await withdrawn(sandbox.ip);
    await sleep(DRAIN_MS);
  }
  await Promise.all(running.map((it) => runtime.stopContainer(it.id, sandbox.graceSeconds)));
  await runtime.stopSandbox(sandbox.id);
  await runtime.removeSandbox(sandbox.id);
}

async function named<T>(reason: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw new StartError(reason, rootMessage(error), error);
  }
}

/** What went wrong at the bottom of it, since "the runtime did not do X" helps nobody. */
function rootMessage(error: unknown): string {
  let deepest = error;
  while (deepest instanceof Error && deepest.cause !== undefined) deepest = deepest.cause;
  return deepest instanceof Error ? deepest.message : String(deepest);
}

type Settled<T extends readonly Promise<unknown>[]> = { -readonly [I in keyof T]: Awaited<T[I]> };

/** Like Promise.all, and still waits for all of them when one fails: no work goes on unattended. */
async function allDone<const T extends readonly Promise<unknown>[]>(work: T): Promise<Settled<T>> {
  const results = await Promise.allSettled(work);
  const failed = results.find((it) => it.status === "rejected");
  if (failed) throw failed.reason;
  return results.map((it) => (it.status === "fulfilled" ? it.value : undefined)) as Settled<T>;
}
