import type { Pod } from "../../contract/pod/pod.ts";
import type { SeenContainer, SeenSandbox } from "../observe.ts";
import { crashesInARow, restartAtMs } from "./backoff.ts";
import { type Role, rolesOf } from "./kinds.ts";
import { endedForGood, isDone, isReady, isUp, newestOf, type Verdicts } from "./readiness.ts";
import type { ContainerStart } from "./steps.ts";

/** Exit codes after SIGKILL and SIGTERM, as a host that goes down sends them to all. */
const KILLED = [137, 143];
/** The runtime's reason where it did not see the end. */
const UNKNOWN = "Unknown";

type Policy = Pod["spec"]["restartPolicy"];

/** A container as it should be, and its last start: in the sandbox that lives, and in dead ones. */
export type Standing = Role & {
  readonly last: SeenContainer | undefined;
  readonly past: SeenContainer | undefined;
};

/** Every container of the pod in the order in which they start. */
export function standingsOf(
  pod: Pod,
  sandbox: SeenSandbox | undefined,
  dead: readonly SeenSandbox[],
): readonly Standing[] {
  return rolesOf(pod.spec).map((role) => {
    const { name } = role.container;
    const [past] = dead.flatMap((it) => newestOf(it, name) ?? []).toSorted(laterFirst);
    return { ...role, last: newestOf(sandbox, name), past };
  });
}

function laterFirst(a: SeenContainer, b: SeenContainer): number {
  return b.attempt - a.attempt;
}

/** Whether the main containers have had their turn: then no init container runs in this sandbox again. */
export function hasBegun(standings: readonly Standing[]): boolean {
  return standings.some(({ kind, last }) => kind === "main" && last !== undefined);
}

/**
 * The containers to start now, in order. Init containers run one after the other, each to its good
 * end; a sidecar has had its turn once it is ready; then the main ones start, of which none waits for
 * another to be ready. What has had its turn and ended is started again by the pod's policy, a sidecar
 * always. Pure.
 */
export function dueStarts(
  standings: readonly Standing[],
  policy: Policy,
  verdicts: Verdicts,
  nowMs: number,
): readonly ContainerStart[] {
  const begun = hasBegun(standings);
  const starts: ContainerStart[] = [];
  let open = true;
  for (const standing of standings) {
    const { kind, last } = standing;
    if (begun && kind === "init") continue;
    const upkeep = kind === "sidecar" && last !== undefined;
    const start = open || begun || upkeep ? due(standing, policy, nowMs) : undefined;
    if (start) starts.push(start);
    if (kind !== "main") open &&= hasHadItsTurn(standing, policy, verdicts, start);
  }
  return starts;
}

/** How the pod has ended for good, if it has: `Failed` by any container that it depends on. Pure. */
export function endOf(
  standings: readonly Standing[],
  policy: Policy,
): "Succeeded" | "Failed" | undefined {
  const over = ({ kind, last }: Standing) => last && endedForGood(kind, policy, last);
  const inits = standings.filter((it) => it.kind === "init");
  if (!hasBegun(standings))
    return inits.some((it) => over(it) && !went(it, policy)) ? "Failed" : undefined;
  const mains = standings.filter((it) => it.kind === "main");
  if (!mains.every(over)) return undefined;
  return mains.every((it) => went(it, policy)) ? "Succeeded" : "Failed";
}

/**
 * Whether one that the pod's end depends on may have been killed by what ended its sandbox: with the
 * sandbox's process go all that share its processes, and nobody knows how something ended that ran
 * when the host went down. Pure.
 */
export function diedWithSandbox(standings: readonly Standing[]): boolean {
  const decisive = hasBegun(standings) ? "main" : "init";
  return standings.some(({ kind, last }) => kind === decisive && wasKilled(last));
}

function wasKilled(last: SeenContainer | undefined): boolean {
  if (last?.state !== "exited") return false;
  const { exitCode = 0, reason = UNKNOWN } = last.detail ?? {};
  return reason === UNKNOWN || (KILLED.includes(exitCode) && reason !== "OOMKilled");
}

function went({ kind, last }: Standing, policy: Policy): boolean {
  return last !== undefined && isDone(kind, policy, last);
}

/** A sidecar that no probe asks about is up with its start, so what comes next need not wait for a look. */
function hasHadItsTurn(
  standing: Standing,
  policy: Policy,
  verdicts: Verdicts,
  start: ContainerStart | undefined,
): boolean {
  const { container, last } = standing;
  if (standing.kind === "init") return went(standing, policy);
  if (start) return !container.startupProbe && !container.readinessProbe;
  return isReady(standing, last, verdicts);
}

function due(
  { container, kind, last, past }: Standing,
  policy: Policy,
  nowMs: number,
): ContainerStart | undefined {
  const role = { container, kind };
  if (!last) return { ...role, existing: undefined, ...countsAfter(past) };
  const { id, attempt, restarts, crashes } = last;
  const again = { ...role, attempt, restarts, crashes };
  if (last.state === "created") return { ...again, existing: { id, runs: false } };
  // No note says that its hook has returned: an agent was ended meanwhile. Twice does less harm than
  // never, and that a hook is run at least once is what Kubernetes promises.
  if (last.state === "running" && !isUp(role, last))
    return { ...again, existing: { id, runs: true } };
  if (last.state !== "exited" || endedForGood(kind, policy, last)) return undefined;
  if (nowMs < restartAtMs(last, nowMs)) return undefined;
  return {
    ...role,
    existing: undefined,
    attempt: attempt + 1,
    restarts: restarts + 1,
    crashes: crashesInARow(last) + 1,
  };
}

/** A container that ended with its sandbox has not crashed; one that was never started does not count. */
function countsAfter(past: SeenContainer | undefined) {
  if (!past) return { attempt: 0, restarts: 0, crashes: 0 };
  const restarts = past.state === "created" ? past.restarts : past.restarts + 1;
  return { attempt: past.attempt + 1, restarts, crashes: crashesInARow(past) };
}
