import type { Container, Pod } from "../../contract/pod/pod.ts";
import type { SeenContainer, SeenSandbox } from "../observe.ts";
import { rolesOf } from "../plan/kinds.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { runHook } from "./hooks.ts";
import { allDone } from "./settled.ts";

export type Stopping = {
  readonly id: string;
  /** Undefined where nothing is known of it any more: then there is no hook to run. */
  readonly spec: Container | undefined;
  readonly ip: string | undefined;
  readonly graceSeconds: number;
};

/** What a container has at least between SIGTERM and SIGKILL, once hooks have used up its grace. */
const LEAST_GRACE_SECONDS = 2;

/** Its preStop hook, SIGTERM, and SIGKILL when the grace is over, which the hook is part of. */
export async function stopContainer(
  runtime: Runtime,
  { id, spec, ip, graceSeconds }: Stopping,
): Promise<void> {
  const hook = spec?.lifecycle?.preStop;
  if (spec === undefined || hook === undefined || graceSeconds === 0)
    return runtime.stopContainer(id, graceSeconds);
  const left = remaining(graceSeconds);
  const signal = AbortSignal.timeout(graceSeconds * 1_000);
  // A hook that goes wrong delays the end and never prevents it.
  await runHook(runtime, hook, { id, container: spec, ip }, graceSeconds, signal).catch(() => 0);
  await runtime.stopContainer(id, left());
}

/**
 * Ends all that runs in a sandbox, in order: main and init containers at once, then the sidecars from
 * the last to the first, so that each one sees the end of those that it was there for. The grace is
 * the pod's: it counts for all of them together.
 */
export async function stopInOrder(
  runtime: Runtime,
  sandbox: SeenSandbox,
  graceSeconds = sandbox.graceSeconds,
): Promise<void> {
  const left = remaining(graceSeconds);
  const stop = ({ id, name }: SeenContainer) =>
    stopContainer(runtime, {
      id,
      spec: containerSpec(sandbox.spec, name),
      ip: sandbox.ip,
      graceSeconds: left(),
    });
  const running = sandbox.containers.filter((it) => it.state === "running");
  await allDone(running.filter((it) => it.kind !== "sidecar").map(stop));
  for (const it of sidecarsFromTheLast(sandbox, running)) await stop(it);
}

/**
 * `stopInOrder` for a sandbox that is to go. One that the runtime tells little about may not stop in
 * order; its own stop, which comes next, ends what is in it all the same.
 */
export async function stopToRemove(
  runtime: Runtime,
  sandbox: SeenSandbox,
  graceSeconds = sandbox.graceSeconds,
): Promise<void> {
  const stopped = stopInOrder(runtime, sandbox, graceSeconds);
  await (sandbox.unclear ? stopped.catch(() => 0) : stopped);
}

/** Whole seconds of the grace that are left when it is asked, and never less than a little. */
function remaining(graceSeconds: number): () => number {
  const endMs = performance.now() + graceSeconds * 1_000;
  const least = Math.min(LEAST_GRACE_SECONDS, graceSeconds);
  return () => Math.max(least, Math.ceil((endMs - performance.now()) / 1_000));
}

function sidecarsFromTheLast(
  { spec: pod }: SeenSandbox,
  running: readonly SeenContainer[],
): readonly SeenContainer[] {
  const place = (it: SeenContainer) =>
    pod?.spec.initContainers.findIndex(({ name }) => name === it.name) ?? 0;
  return running.filter((it) => it.kind === "sidecar").toSorted((a, b) => place(b) - place(a));
}

function containerSpec(pod: Pod | undefined, name: string): Container | undefined {
  return pod && rolesOf(pod.spec).find((it) => it.container.name === name)?.container;
}
