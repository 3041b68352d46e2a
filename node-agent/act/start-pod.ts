import type { Pod } from "../../contract/pod/pod.ts";
import { effectiveLimits, effectiveRequests } from "../../contract/pod/requests.ts";
import type { PodValues } from "../disk/materials.ts";
import { ensurePodCgroup } from "../host/cgroups.ts";
import { refuseHostPorts } from "../host/host-ports.ts";
import type { ContainerStart, Step } from "../plan/steps.ts";
import {
  containerConfig,
  type PodHome,
  type SandboxConfig,
  sandboxConfig,
} from "../runtime/cri-config.ts";
import { nonRootProblem } from "../runtime/cri-security.ts";
import type { Image } from "../runtime/runtime.ts";
import { containerMounts, type ReadyVolumes, readyVolumes } from "../volumes/ready.ts";
import type { Hands } from "./act.ts";
import { asksForPodIp, speak } from "./env-vars.ts";
import { runHook } from "./hooks.ts";
import { allDone, orGivenUp } from "./settled.ts";
import { named, StartError } from "./start-error.ts";
import { stopContainer, stopInOrder } from "./stop.ts";

type StartPod = Step<"start-pod">;

/** A pod that is on its way up, as far as it is there. */
type Rising = {
  readonly step: StartPod;
  readonly home: PodHome;
  readonly config: SandboxConfig;
  readonly sandbox: string;
  readonly values: PodValues;
  readonly volumes: ReadyVolumes;
  readonly givenUp: AbortSignal;
};

/** Kubernetes gives a postStart hook all the time that it takes; this bounds one that hangs. */
const POST_START_SECONDS = 3_600;
/** What a kernel in user space, or a small machine, takes beside its pod. */
const HANDLER_BYTES = 128 * 1024 * 1024;

/**
 * Images come while the sandbox and the volumes are being made; none of them waits for another, and
 * the sandbox, which takes longest, is asked for first. A main container that cannot start keeps none
 * of the others from it; the first one's trouble is the step's.
 */
export async function startPod(hands: Hands, step: StartPod, givenUp: AbortSignal): Promise<void> {
  refuseHostPorts(step.pod, hands.hostPorts);
  const home = homeOf(hands, step);
  const config = sandboxConfig(step.pod, home, step);
  const images = step.starts.map((it) => orGivenUp(imageOf(hands, it), givenUp));
  const [sandbox, [values, volumes]] = await allDone([
    sandboxFor(hands, step, config),
    volumesOf(hands, step, givenUp),
    ensurePodCgroup(home.cgroup, boundsOf(step.pod)),
    Promise.allSettled(images),
  ] as const);
  const rising = { step, home, config, sandbox, values, volumes, givenUp };
  const troubles: unknown[] = [];
  for (const [at, start] of step.starts.entries()) {
    givenUp.throwIfAborted();
    await startContainer(hands, rising, start, images[at]).catch((error) => troubles.push(error));
    // What comes after a sidecar waits for it.
    if (troubles.length > 0 && start.kind !== "main") break;
  }
  if (troubles.length > 0) throw troubles[0];
}

function homeOf({ places, dns }: Hands, { uid, fingerprint }: StartPod): PodHome {
  return {
    installation: places.installation,
    fingerprint,
    cgroup: places.podCgroup(uid),
    logDir: places.logDir(uid),
    dns: dns(),
  };
}

/** A handler of its own may run the whole pod as one, beside what it takes itself. */
function boundsOf({ spec }: Pod) {
  const { cpuMillis } = effectiveRequests(spec);
  if (spec.runtimeClassName === undefined) return { cpuMillis };
  return { cpuMillis, memoryBytes: effectiveLimits(spec).memoryBytes + HANDLER_BYTES };
}

async function sandboxFor(hands: Hands, step: StartPod, config: SandboxConfig): Promise<string> {
  const [last] = step.dead;
  const mayEnd = step.pod.spec.restartPolicy !== "Always";
  // Only the last one is ever asked whether its pod was over, and it was not.
  if (last && mayEnd) await hands.notes.write(step.uid, "given-up", last.id);
  for (const dead of step.dead) {
    await stopInOrder(hands.runtime, dead);
    await hands.runtime.stopSandbox(dead.id);
  }
  if (step.sandbox !== undefined) return step.sandbox;
  await hands.images.ensurePause();
  const { runtimeClassName } = step.pod.spec;
  return named("FailedCreatePodSandBox", hands.runtime.runSandbox(config, runtimeClassName));
}

async function volumesOf(hands: Hands, { pod }: StartPod, givenUp: AbortSignal) {
  const { places, hostPaths, artifacts } = hands;
  const values = await hands.materials(pod);
  const artifact = (reference: string) => orGivenUp(artifacts.folder(reference), givenUp);
  return [values, await readyVolumes(pod, { places, hostPaths, values, artifact })] as const;
}

/** Undefined for a container that runs already. */
async function imageOf(hands: Hands, start: ContainerStart): Promise<Image | undefined> {
  if (start.existing?.runs) return undefined;
  return named("ErrImagePull", hands.images.ensure(start.container.image));
}

async function startContainer(
  hands: Hands,
  rising: Rising,
  start: ContainerStart,
  image: Promise<Image | undefined> | undefined,
): Promise<void> {
  if (start.existing?.runs) return afterStart(hands, rising, start, start.existing.id);
  const imageUser = (await image)?.user ?? "";
  const problem = nonRootProblem(rising.step.pod, start.container, imageUser);
  if (problem !== undefined) throw new StartError("CreateContainerConfigError", problem);
  const id = start.existing?.id ?? (await created(hands, rising, start, imageUser));
  rising.givenUp.throwIfAborted();
  await named("RunContainerError", hands.runtime.startContainer(id));
  await afterStart(hands, rising, start, id);
}

async function created(
  hands: Hands,
  { step: { pod, uid }, home, config, sandbox, values, volumes }: Rising,
  start: ContainerStart,
  imageUser: string,
): Promise<string> {
  const { container } = start;
  const around = {
    pod,
    values,
    ...hands.node(),
    podIp: asksForPodIp(container) ? await hands.runtime.sandboxIp(sandbox) : undefined,
  };
  const place = hands.places.subPathsDir(uid, container.name);
  const given = {
    ...speak(container, around),
    mounts: await containerMounts(container, volumes, place),
    imageUser,
  };
  const wanted = containerConfig(pod, start, home, given);
  return named("CreateContainerError", hands.runtime.createContainer(sandbox, wanted, config));
}

/**
 * Runs the postStart hook, and notes that it has returned: until then the container is being started.
 * One whose hook fails is ended, as with Kubernetes; its policy says what follows.
 */
async function afterStart(
  { runtime, notes }: Hands,
  { step: { pod, uid }, sandbox, givenUp }: Rising,
  { container }: ContainerStart,
  id: string,
): Promise<void> {
  const hook = container.lifecycle?.postStart;
  if (hook === undefined) return;
  const ip = await runtime.sandboxIp(sandbox);
  const done = runHook(runtime, hook, { id, container, ip }, POST_START_SECONDS, givenUp);
  try {
    await orGivenUp(done, givenUp);
  } catch (error) {
    givenUp.throwIfAborted();
    const graceSeconds = pod.spec.terminationGracePeriodSeconds;
    await stopContainer(runtime, { id, spec: container, ip, graceSeconds });
    const why = error instanceof Error ? error.message : String(error);
    throw new StartError(
      "FailedPostStartHook",
      `the postStart hook of ${container.name} failed: ${why}`,
      error,
    );
  }
  await notes.write(uid, `post-started/${container.name}`, id);
}
