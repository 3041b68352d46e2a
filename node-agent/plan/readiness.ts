import type { Pod } from "../../contract/pod/pod.ts";
import type { SeenContainer, SeenSandbox } from "../observe.ts";
import type { Verdict } from "../probes/verdict.ts";
import { type ContainerKind, type Role, rolesOf } from "./kinds.ts";

type Policy = Pod["spec"]["restartPolicy"];
export type Verdicts = ReadonlyMap<string, Verdict>;

/** Whether a container runs and its postStart hook has returned: until then it is only being started. */
export function isUp({ container }: Role, seen: SeenContainer | undefined): boolean {
  return seen?.state === "running" && (!container.lifecycle?.postStart || seen.postStarted);
}

/** Whether a container is up and its probes say that it does its work; without probes, being up will do. */
export function isReady(role: Role, seen: SeenContainer | undefined, verdicts: Verdicts): boolean {
  if (!seen || !isUp(role, seen)) return false;
  const { container } = role;
  const unasked = !container.startupProbe && !container.readinessProbe;
  return verdicts.get(seen.id)?.ready ?? unasked;
}

/** Whether an ended container is not started again, unless the whole pod is. */
export function endedForGood(kind: ContainerKind, policy: Policy, seen: SeenContainer): boolean {
  if (seen.state !== "exited" || kind === "sidecar") return false;
  if (policy === "Never") return true;
  return seen.detail?.exitCode === 0 && (kind === "init" || policy === "OnFailure");
}

/** Whether a container has done all that it had to do, and well. */
export function isDone(kind: ContainerKind, policy: Policy, seen: SeenContainer): boolean {
  return endedForGood(kind, policy, seen) && seen.detail?.exitCode === 0;
}

/**
 * Whether requests may be sent to a pod: a main container runs, and all of them and all sidecars are
 * ready, but for main ones that are done. Pure.
 */
export function isPodReady(pod: Pod, sandbox: SeenSandbox, verdicts: Verdicts): boolean {
  const policy = pod.spec.restartPolicy;
  const working = rolesOf(pod.spec)
    .filter(({ kind }) => kind !== "init")
    .map((role) => ({ role, seen: newestOf(sandbox, role.container.name) }))
    .filter(({ role, seen }) => !seen || !isDone(role.kind, policy, seen));
  return (
    working.some(({ role }) => role.kind === "main") &&
    working.every(({ role, seen }) => isReady(role, seen, verdicts))
  );
}

/** The last start of a container in this sandbox. */
export function newestOf(
  sandbox: SeenSandbox | undefined,
  name: string,
): SeenContainer | undefined {
  return sandbox?.containers.find((it) => it.name === name);
}

/** The last one first: a clock may go back, as at a boot, and attempts do not. */
export function deadOnes(sandboxes: readonly SeenSandbox[]): readonly SeenSandbox[] {
  return sandboxes.filter((it) => !it.ready).toSorted((a, b) => b.attempt - a.attempt);
}
