import type { PodId } from "../../contract/ids.ts";
import type { SeenContainer, SeenSandbox } from "../observe.ts";
import { deathsInARow, renewAtMs } from "./backoff.ts";
import type { WantedPod, World } from "./plan.ts";
import {
  diedWithSandbox,
  dueStarts,
  endOf,
  type Standing,
  standingsOf,
} from "./plan-containers.ts";
import { outcomeOf } from "./plan-outcome.ts";
import { deadOnes, newestOf } from "./readiness.ts";
import type { Step } from "./steps.ts";

type Sandboxes = {
  /** The one that lives. */
  readonly kept: SeenSandbox | undefined;
  /** The last one first. */
  readonly dead: readonly SeenSandbox[];
};

/** The next step of one wanted pod, with all that the runtime holds of it, newest first. Pure. */
export function nextStep(
  wanted: WantedPod,
  sandboxes: readonly SeenSandbox[],
  world: World,
): Step | undefined {
  const { uid } = wanted.pod.metadata;
  const changed = sandboxes.filter((it) => it.fingerprint !== wanted.fingerprint);
  if (changed.length > 0) {
    // Two kinds of one pod, and nobody to say which is meant.
    if (!world.leaving) return undefined;
    return removal(uid, changed, changed.length === sandboxes.length, "changed");
  }
  const outcome = world.outcomes.get(uid);
  if (outcome?.fingerprint === wanted.fingerprint)
    return sandboxes.length > 0 ? { do: "end-pod", uid, outcome, sandboxes } : undefined;
  const [kept, ...surplus] = sandboxes.filter((it) => it.ready);
  if (surplus.length > 0) return removal(uid, surplus, false, "surplus");
  const dead = deadOnes(sandboxes);
  const forgotten = dead.filter((it) => saysNothing(it, sandboxes));
  if (forgotten.length > 0) return removal(uid, forgotten, false, "dead");
  const standings = standingsOf(wanted.pod, kept, dead);
  if (!kept)
    return endBeforeDeath(wanted, dead, world) ?? firstStart(wanted, dead, standings, world);
  return (
    end(wanted, sandboxes, standings, world) ??
    stop(wanted, kept, standings, world) ??
    start(wanted, { kept, dead }, standings, world) ??
    tidy(wanted, kept)
  );
}

export function removal(
  uid: PodId,
  sandboxes: readonly SeenSandbox[],
  whole: boolean,
  because: Step<"remove-sandboxes">["because"],
): Step {
  return { do: "remove-sandboxes", uid, sandboxes, whole, because };
}

/**
 * A dead sandbox is kept for the counts in it, until the one that lives has a start of each of its
 * containers, or another dead one has a later start.
 */
function saysNothing(dead: SeenSandbox, sandboxes: readonly SeenSandbox[]): boolean {
  const others = sandboxes.filter((it) => it !== dead);
  const isNotLast = others.some((it) => it.ready || it.attempt > dead.attempt);
  const goesOn = ({ name, attempt }: SeenContainer) =>
    others.some((it) => (newestOf(it, name)?.attempt ?? -1) > (it.ready ? -1 : attempt));
  return isNotLast && dead.containers.every(goesOn);
}

/**
 * A pod whose containers had come to their ends before its last sandbox died, when nobody had written
 * that down yet: it is over, and what it did is not done again.
 */
function endBeforeDeath(
  wanted: WantedPod,
  dead: readonly SeenSandbox[],
  world: World,
): Step | undefined {
  const [last, ...earlier] = dead;
  if (!last || last.givenUp) return undefined;
  const standings = standingsOf(wanted.pod, last, earlier);
  if (diedWithSandbox(standings)) return undefined;
  return end(wanted, dead, standings, world);
}

function firstStart(
  wanted: WantedPod,
  dead: readonly SeenSandbox[],
  standings: readonly Standing[],
  world: World,
): Step | undefined {
  const [last] = dead;
  if (last && world.nowMs < renewAtMs(last, world.nowMs)) return undefined;
  return start(wanted, { kept: undefined, dead }, standings, world);
}

function start(
  { pod, fingerprint }: WantedPod,
  { kept, dead }: Sandboxes,
  standings: readonly Standing[],
  { verdicts, nowMs }: World,
): Step | undefined {
  const starts = dueStarts(standings, pod.spec.restartPolicy, verdicts, nowMs);
  if (kept && starts.length === 0) return undefined;
  const [last] = dead;
  const renewed = last
    ? { attempt: last.attempt + 1, deaths: deathsInARow(last) + 1 }
    : { attempt: 0, deaths: 0 };
  const { attempt, deaths } = kept ?? renewed;
  const { uid } = pod.metadata;
  return {
    do: "start-pod",
    uid,
    pod,
    fingerprint,
    sandbox: kept?.id,
    attempt,
    deaths,
    dead: kept ? [] : dead,
    starts,
  };
}

function end(
  wanted: WantedPod,
  sandboxes: readonly SeenSandbox[],
  standings: readonly Standing[],
  { setbacks }: World,
): Step | undefined {
  const phase = endOf(standings, wanted.pod.spec.restartPolicy);
  if (phase === undefined) return undefined;
  const { uid } = wanted.pod.metadata;
  const outcome = outcomeOf(wanted, phase, standings, setbacks.get(uid));
  return { do: "end-pod", uid, outcome, sandboxes };
}

/** Whoever has used up a probe's tries, or was lost by the runtime, is ended; starting it anew comes later. */
function stop(
  { pod }: WantedPod,
  sandbox: SeenSandbox,
  standings: readonly Standing[],
  { verdicts }: World,
): Step | undefined {
  for (const { container, last } of standings) {
    const because = last && reasonToStop(last.state, verdicts.get(last.id)?.kill);
    if (!because) continue;
    return {
      do: "stop-container",
      uid: pod.metadata.uid,
      container: last.id,
      name: container.name,
      spec: container,
      ip: sandbox.ip,
      graceSeconds: pod.spec.terminationGracePeriodSeconds,
      because,
    };
  }
  return undefined;
}

function reasonToStop(
  state: string,
  kill: "startup" | "liveness" | undefined,
): Step<"stop-container">["because"] | undefined {
  if (state === "unknown") return "state-unknown";
  if (state !== "running" || kill === undefined) return undefined;
  return `${kill}-probe-failed`;
}

/** The last ended start of a container is kept, for its words. */
function tidy({ pod }: WantedPod, { containers }: SeenSandbox): Step | undefined {
  const old = [...Map.groupBy(containers, (it) => it.name).values()].flatMap((it) => it.slice(2));
  if (old.length === 0) return undefined;
  return {
    do: "remove-containers",
    uid: pod.metadata.uid,
    containers: old.map((it) => it.id),
  };
}
