import type { PodId } from "../contract/ids.ts";
import type { Container, Pod } from "../contract/pod.ts";
import { backoffMs } from "../kit/backoff.ts";
import type { SeenContainer, SeenSandbox } from "./observe.ts";

/** A container to be running: an `existing` one that was made and never started, or a new one. */
export type ContainerStart = {
  readonly container: Container;
  readonly existing: string | undefined;
  readonly attempt: number;
  readonly restarts: number;
  readonly crashes: number;
};

type Steps = {
  /** Brings the pod up from where it stands: images, sandbox (`undefined` is a new one), containers. */
  readonly "start-pod": {
    readonly pod: Pod;
    readonly fingerprint: string;
    readonly sandbox: string | undefined;
    readonly attempt: number;
    readonly starts: readonly ContainerStart[];
  };
  /** Takes these sandboxes away, with all in them; `whole` when nothing of the pod is to stay. */
  readonly "remove-sandboxes": {
    readonly sandboxes: readonly SeenSandbox[];
    readonly whole: boolean;
    readonly because: "unwanted" | "changed" | "dead" | "surplus";
  };
  /** Ends a container that never came up, as Kubernetes does; its restart is the next pass's. */
  readonly "stop-container": {
    readonly container: string;
    readonly graceSeconds: number;
    readonly because: "startup-probe-failed";
  };
  /** Ended containers of which nobody will ask any more. */
  readonly "remove-containers": { readonly containers: readonly string[] };
};

/** One action on one pod. A pod never has two under way. */
export type Step<Do extends keyof Steps = keyof Steps> = {
  [D in Do]: { readonly do: D; readonly uid: PodId } & Steps[D];
}[Do];

export type WantedPod = { readonly pod: Pod; readonly fingerprint: string };

/** A step that failed, `failures` times in a row. */
export type Setback = {
  readonly failures: number;
  readonly atMs: number;
  readonly reason: string;
  readonly message: string;
};

export type World = {
  /** Undefined when no wish is known: then nothing is planned at all. */
  readonly wanted: readonly WantedPod[] | undefined;
  /** Newest first. */
  readonly seen: readonly SeenSandbox[];
  readonly busy: ReadonlySet<PodId>;
  readonly setbacks: ReadonlyMap<PodId, Setback>;
  /** Running containers whose startup probe has used up its tries. */
  readonly startupFailed: ReadonlySet<string>;
  readonly nowMs: number;
};

const CRASH_BACKOFF = { minMs: 1_000, maxMs: 300_000 };
const SETBACK_BACKOFF = { minMs: 500, maxMs: 30_000 };
/** A container that ran for so long is not in a crash loop. */
const HEALTHY_RUN_MS = 600_000;

/**
 * The next step of every pod that needs one and has none under way.
 *
 * Pure, and a fixed point: in the world it asks for it returns []. Removal comes before addition, so
 * that two starts of one pod never run side by side. A pod whose fingerprint is what was asked for
 * is never touched, and neither is one that the runtime does not tell all about.
 */
export function planNode(world: World): readonly Step[] {
  if (world.wanted === undefined) return [];
  const byPod = Map.groupBy(world.seen, (it) => it.pod);
  const unclear = new Set(world.seen.filter((it) => it.unclear).map((it) => it.pod));
  const wanted = new Set(world.wanted.map((it) => it.pod.metadata.uid));
  const removals = [...byPod]
    .filter(([uid]) => !wanted.has(uid))
    .map(([uid, sandboxes]) => removal(uid, sandboxes, true, "unwanted"));
  const others = world.wanted.map((it) =>
    nextStep(it, byPod.get(it.pod.metadata.uid) ?? [], world),
  );
  return [...removals, ...others].filter(
    (step) =>
      step !== undefined &&
      !world.busy.has(step.uid) &&
      !unclear.has(step.uid) &&
      !waits(world.setbacks.get(step.uid), world),
  ) as readonly Step[];
}

/** When an ended container is to be started again, in ms since the epoch. */
export function restartAtMs(container: SeenContainer): number {
  return (container.detail?.finishedAtMs ?? 0) + backoffMs(crashesInARow(container), CRASH_BACKOFF);
}

function nextStep(
  wanted: WantedPod,
  sandboxes: readonly SeenSandbox[],
  world: World,
): Step | undefined {
  const { uid } = wanted.pod.metadata;
  const changed = sandboxes.filter((it) => it.fingerprint !== wanted.fingerprint);
  if (changed.length > 0)
    return removal(uid, changed, changed.length === sandboxes.length, "changed");
  const dead = sandboxes.filter((it) => !it.ready);
  if (dead.length > 0) return removal(uid, dead, false, "dead");
  const [kept, ...surplus] = sandboxes;
  if (surplus.length > 0) return removal(uid, surplus, false, "surplus");
  return start(wanted, kept, world) ?? (kept && upkeep(wanted, kept, world));
}

function removal(
  uid: PodId,
  sandboxes: readonly SeenSandbox[],
  whole: boolean,
  because: Step<"remove-sandboxes">["because"],
): Step {
  return { do: "remove-sandboxes", uid, sandboxes, whole, because };
}

function start(
  wanted: WantedPod,
  sandbox: SeenSandbox | undefined,
  { nowMs }: World,
): Step | undefined {
  const starts = wanted.pod.spec.containers
    .map((container) => containerStart(container, newest(sandbox, container.name), nowMs))
    .filter((it) => it !== undefined);
  if (sandbox && starts.length === 0) return undefined;
  return {
    do: "start-pod",
    uid: wanted.pod.metadata.uid,
    pod: wanted.pod,
    fingerprint: wanted.fingerprint,
    sandbox: sandbox?.id,
    attempt: sandbox?.attempt ?? 0,
    starts,
  };
}

function containerStart(
  container: Container,
  last: SeenContainer | undefined,
  nowMs: number,
): ContainerStart | undefined {
  if (!last) return { container, existing: undefined, attempt: 0, restarts: 0, crashes: 0 };
  const { attempt, restarts, crashes } = last;
  if (last.state === "created") return { container, existing: last.id, attempt, restarts, crashes };
  if (last.state === "running" || nowMs < restartAtMs(last)) return undefined;
  return {
    container,
    existing: undefined,
    attempt: attempt + 1,
    restarts: restarts + 1,
    crashes: crashesInARow(last) + 1,
  };
}

function crashesInARow({ crashes, detail }: SeenContainer): number {
  const ranMs = detail ? detail.finishedAtMs - detail.startedAtMs : 0;
  return ranMs >= HEALTHY_RUN_MS ? 0 : crashes;
}

/** What a pod that is up needs now and then. The last ended start is kept, for its words. */
function upkeep(
  { pod }: WantedPod,
  sandbox: SeenSandbox,
  { startupFailed }: World,
): Step | undefined {
  const { uid } = pod.metadata;
  const hopeless = sandbox.containers.find(
    (it) => it.state === "running" && startupFailed.has(it.id),
  );
  if (hopeless) {
    return {
      do: "stop-container",
      uid,
      container: hopeless.id,
      graceSeconds: pod.spec.terminationGracePeriodSeconds,
      because: "startup-probe-failed",
    };
  }
  const old = pod.spec.containers.flatMap((container) =>
    sandbox.containers.filter((it) => it.name === container.name).slice(2),
  );
  if (old.length === 0) return undefined;
  return { do: "remove-containers", uid, containers: old.map((it) => it.id) };
}

function newest(sandbox: SeenSandbox | undefined, name: string): SeenContainer | undefined {
  return sandbox?.containers.find((it) => it.name === name);
}

function waits(setback: Setback | undefined, { nowMs }: World): boolean {
  if (!setback) return false;
  return nowMs < setback.atMs + backoffMs(setback.failures - 1, SETBACK_BACKOFF);
}
