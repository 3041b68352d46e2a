import type { PodId } from "../../contract/ids.ts";
import { SINGLETON } from "../../contract/placement/strategy.ts";
import type { Pod } from "../../contract/pod/pod.ts";
import type { PodOutcome } from "../disk/outcomes.ts";
import type { SeenSandbox } from "../observe.ts";
import { retryAtMs, type Setback } from "./backoff.ts";
import { nextStep, removal } from "./plan-pod.ts";
import type { Verdicts } from "./readiness.ts";
import type { Step } from "./steps.ts";

export type WantedPod = { readonly pod: Pod; readonly fingerprint: string };

export type World = {
  readonly wanted: readonly WantedPod[];
  /** Whether `wanted` is all that may stay; otherwise it is only what is known of what is here. */
  readonly leaving: boolean;
  /** Whether somebody has decided on `wanted` for this node. */
  readonly planned: boolean;
  /** Newest first. */
  readonly seen: readonly SeenSandbox[];
  /** How pods ended. */
  readonly outcomes: ReadonlyMap<PodId, PodOutcome>;
  readonly busy: ReadonlySet<PodId>;
  readonly setbacks: ReadonlyMap<PodId, Setback>;
  /** Of running containers, by id. */
  readonly verdicts: Verdicts;
  /** Whether the api has said, since this agent started, that `wanted` still stands. */
  readonly confirmed: boolean;
  readonly nowMs: number;
};

/**
 * The next step of every pod that needs one and has none under way.
 *
 * Pure, and a fixed point: in the world it asks for it returns []. Removal comes before addition, so
 * that two starts of one pod never run side by side. A pod whose fingerprint is what was asked for
 * is never touched, and neither is one that the runtime does not tell all about, unless it is to leave
 * whole: for that nobody needs to know how it is. A pod that is over is never started again.
 */
export function planNode(world: World): readonly Step[] {
  const byPod = Map.groupBy(world.seen, (it) => it.pod);
  const unclear = new Set(world.seen.filter((it) => it.unclear).map((it) => it.pod));
  const clear = world.wanted.filter(
    ({ pod }) => !unclear.has(pod.metadata.uid) && mayStart(pod, byPod, world),
  );
  const steps = [
    ...removals(byPod, world),
    ...clear.map((it) => nextStep(it, byPod.get(it.pod.metadata.uid) ?? [], world)),
  ];
  return steps.filter(
    (step) => step !== undefined && !world.busy.has(step.uid) && !waits(step, world),
  ) as readonly Step[];
}

/** A singleton that does not run here may have been given to another node since: see strategy.ts. */
function mayStart(
  { metadata }: Pod,
  byPod: ReadonlyMap<PodId, readonly SeenSandbox[]>,
  { confirmed, planned }: World,
): boolean {
  if ((confirmed && planned) || metadata.annotations[SINGLETON] !== "true") return true;
  return (byPod.get(metadata.uid) ?? []).some((it) => it.ready);
}

function removals(
  byPod: ReadonlyMap<PodId, readonly SeenSandbox[]>,
  { wanted, leaving }: World,
): readonly Step[] {
  if (!leaving) return [];
  const staying = new Set(wanted.map((it) => it.pod.metadata.uid));
  return [...byPod]
    .filter(([uid]) => !staying.has(uid))
    .map(([uid, sandboxes]) => removal(uid, sandboxes, true, "unwanted"));
}

/** A step that failed waits; another one of the same pod, such as its removal, does not. */
function waits(step: Step, { setbacks, nowMs }: World): boolean {
  const setback = setbacks.get(step.uid);
  return setback !== undefined && setback.of === step.do && nowMs < retryAtMs(setback, nowMs);
}
