import type { PodId } from "../../contract/ids.ts";
import type { Pod } from "../../contract/pod/pod.ts";
import type { PodOutcome } from "../../node-agent/disk/outcomes.ts";
import type { SeenContainer, SeenSandbox } from "../../node-agent/observe.ts";
import { retryAtMs, type Setback } from "../../node-agent/plan/backoff.ts";
import type { World } from "../../node-agent/plan/plan.ts";
import type { ContainerStart, Step } from "../../node-agent/plan/steps.ts";
import { wishOf } from "../../node-agent/plan/wish.ts";
import type { Verdict } from "../../node-agent/probes/verdict.ts";
import { aSandbox, aVerdict, fp, LATE_MS, uidOf } from "./a-world.ts";

/** What a start of a container comes to, once it runs. */
export type Fate = {
  /** Undefined when it runs on. */
  readonly exitCode: number | undefined;
  readonly afterMs: number;
  readonly becomesReady: boolean;
};
export type Fates = (start: { kind: string; name: string; attempt: number }) => Fate;

/** A host in a few maps: it does what steps say, and what fate says between them. */
export type LiveWorld = {
  /** As the host's clock shows it. */
  nowMs: number;
  /** By how much that clock was set back. */
  setBackMs: number;
  /** Undefined while nobody has said what is. */
  wanted: readonly Pod[] | undefined;
  seen: readonly SeenSandbox[];
  outcomes: Map<PodId, PodOutcome>;
  setbacks: Map<PodId, Setback>;
  verdicts: Map<string, Verdict>;
  /** Steps that take their time, and when they will have been done, as time goes. */
  slow: Map<PodId, { readonly step: Step; readonly done: number; readonly atMs: number }>;
  /** Every start that there ever was, by pod, fingerprint, name and attempt. */
  readonly starts: Map<string, number>;
  /** When a container was started, as time goes. */
  readonly bornAtMs: Map<string, number>;
  /** Containers that came to their ends by themselves. */
  readonly ownEnds: Set<string>;
  /** The wish of each pod of which all work was done, whoever knows of it. */
  readonly finished: Map<PodId, string>;
  /** What was started after that. */
  readonly startedInVain: string[];
};

export function aLiveWorld(seen: readonly SeenSandbox[]): LiveWorld {
  const maps = { outcomes: new Map(), setbacks: new Map(), verdicts: new Map(), slow: new Map() };
  const past = { starts: new Map(), bornAtMs: new Map(), ownEnds: new Set<string>() };
  const jobs = { finished: new Map(), startedInVain: [] };
  return { nowMs: LATE_MS, setBackMs: 0, wanted: [], seen, ...maps, ...past, ...jobs };
}

/** Time goes on, whatever the clock shows. */
export function timeOf({ nowMs, setBackMs }: LiveWorld): number {
  return nowMs + setBackMs;
}

export function setsClockBack(live: LiveWorld, ms: number): void {
  live.nowMs -= ms;
  live.setBackMs += ms;
}

export function worldOf(live: LiveWorld): World {
  const { outcomes, setbacks, verdicts, nowMs, seen, wanted } = live;
  const asked = wanted?.map((pod) => ({ pod, fingerprint: fp(pod) }));
  return {
    ...(asked ? { wanted: asked, leaving: true, planned: true } : wishOf(undefined, seen, fp)),
    seen,
    outcomes,
    busy: new Set(live.slow.keys()),
    setbacks,
    verdicts,
    confirmed: true,
    nowMs,
  };
}

/** Does a step, or only some of the changes that it is made of, as an agent does that is killed in the middle. */
export function carryOut(
  live: LiveWorld,
  step: Step,
  from = 0,
  to = Number.POSITIVE_INFINITY,
): void {
  for (const change of changesOf(live, step).slice(from, to)) change();
}

export function failsToDo(live: LiveWorld, step: Step): void {
  const failures = (live.setbacks.get(step.uid)?.failures ?? 0) + 1;
  const words = { reason: "Error", message: "it failed" };
  live.setbacks.set(step.uid, { of: step.do, failures, atMs: live.nowMs, ...words });
}

/** Time passes: containers come to their ends, and probes hear of the others. */
export function passes(live: LiveWorld, ms: number, fates: Fates): void {
  live.nowMs += ms;
  for (const [uid, setback] of live.setbacks)
    if (retryAtMs(setback, live.nowMs) <= live.nowMs) live.setbacks.delete(uid);
  for (const sandbox of live.seen) {
    for (const it of sandbox.containers.filter((c) => c.state === "running")) {
      const fate = fates(it);
      const endsAtMs = (live.bornAtMs.get(it.id) ?? 0) + fate.afterMs;
      if (fate.exitCode !== undefined && endsAtMs <= timeOf(live))
        endsItself(live, it.id, fate.exitCode, endsAtMs - live.setBackMs);
      else if (!live.verdicts.has(it.id))
        live.verdicts.set(it.id, aVerdict({ ready: fate.becomesReady }));
    }
  }
}

/** Comes to its end, with nobody's help. */
export function endsItself(live: LiveWorld, id: string, exitCode: number, atMs = live.nowMs): void {
  live.ownEnds.add(id);
  ends(live, id, exitCode, atMs);
  const sandbox = live.seen.find((it) => it.containers.some((c) => c.id === id));
  if (!sandbox || isGoing(live, sandbox)) return;
  if (isLast(live, sandbox) && isFinished(live, sandbox))
    live.finished.set(sandbox.pod, sandbox.fingerprint);
}

/** A step that was decided on before takes it for unfinished, and nothing can tell it otherwise in time. */
function isGoing({ slow }: LiveWorld, { id, pod }: SeenSandbox): boolean {
  const step = slow.get(pod)?.step;
  return step?.do === "start-pod" && step.dead.some((it) => it.id === id);
}

function isLast({ seen }: LiveWorld, sandbox: SeenSandbox): boolean {
  const others = seen.filter((it) => it.pod === sandbox.pod && it !== sandbox);
  return others.every((it) => !it.ready && (sandbox.ready || it.attempt < sandbox.attempt));
}

/** What the agent has begun to end itself is nobody's work any more. */
function isFinished({ ownEnds }: LiveWorld, { spec: pod, containers, givenUp }: SeenSandbox) {
  const policy = pod?.spec.restartPolicy;
  if (!pod || policy === "Always" || givenUp) return false;
  const last = (name: string) => containers.find((it) => it.name === name);
  const isOver = (it: SeenContainer | undefined) =>
    it !== undefined && ownEnds.has(it.id) && (policy === "Never" || it.detail?.exitCode === 0);
  const mains = pod.spec.containers.map((it) => last(it.name));
  const inits = containers.filter((it) => it.kind === "init" && last(it.name) === it);
  const isStuck = inits.some((it) => ownEnds.has(it.id) && it.detail?.exitCode !== 0);
  const hasBegun = mains.some((it) => it !== undefined);
  return hasBegun ? mains.every(isOver) : policy === "Never" && isStuck;
}

export function ends(live: LiveWorld, id: string, exitCode: number, atMs = live.nowMs): void {
  live.verdicts.delete(id);
  change(live, id, (it) => {
    if (it.state === "exited") return it;
    const detail = it.detail ?? { startedAtMs: atMs, reason: "", message: "" };
    return {
      ...it,
      state: "exited",
      detail: { ...detail, state: "exited", exitCode, finishedAtMs: atMs },
    };
  });
}

export function change(
  live: LiveWorld,
  id: string,
  next: (container: SeenContainer) => SeenContainer,
): void {
  live.seen = live.seen.map((it) => ({
    ...it,
    containers: it.containers.map((c) => (c.id === id ? next(c) : c)),
  }));
}

/** All of it ends with its sandbox, or goes on running in nowhere. */
export function dies(live: LiveWorld, id: string, lingering: boolean): void {
  const sandbox = live.seen.find((it) => it.id === id);
  live.seen = live.seen.map((it) => (it.id === id ? { ...it, ready: false, ip: undefined } : it));
  if (!lingering) for (const it of sandbox?.containers ?? []) ends(live, it.id, 137);
}

function changesOf(live: LiveWorld, step: Step): readonly (() => void)[] {
  switch (step.do) {
    case "start-pod":
      return startChanges(live, step);
    case "stop-container":
      return [() => ends(live, step.container, 143)];
    case "remove-containers":
      return step.containers.map((id) => () => forget(live, (it) => it.id !== id));
    case "remove-sandboxes":
      return step.sandboxes.flatMap((it) => leaves(live, it, step.whole));
    case "end-pod":
      return [() => isRecorded(live, step), ...step.sandboxes.flatMap((it) => leaves(live, it))];
  }
}

function startChanges(live: LiveWorld, step: Step<"start-pod">): readonly (() => void)[] {
  const { pod, attempt, deaths } = step;
  const id = step.sandbox ?? `${step.uid}-${step.fingerprint}-${attempt}`;
  const made = () => {
    const fresh = aSandbox(pod, { id, attempt, deaths, createdAtMs: live.nowMs, containers: [] });
    live.seen = [fresh, ...live.seen];
  };
  // They end as well as they can: with 0, as if they had done all their work.
  const ended = step.dead.flatMap((it) => it.containers.map((c) => () => ends(live, c.id, 0)));
  const left = step.dead.length > 0 ? [() => givesUp(live, step.dead[0]?.id), ...ended] : [];
  const started = step.starts.flatMap((it) => {
    const fresh = `${step.uid}-${step.fingerprint}-${it.container.name}-${it.attempt}`;
    const own = it.existing?.id ?? fresh;
    const row = () => created(live, id, own, it);
    const run = () => runs(live, own, step);
    const hooked = () => change(live, own, (c) => ({ ...c, postStarted: true }));
    return [...(it.existing ? [] : [row]), ...(it.existing?.runs ? [] : [run]), hooked];
  });
  return [...left, ...(step.sandbox === undefined ? [made] : []), ...started];
}

function givesUp(live: LiveWorld, id: string | undefined): void {
  live.seen = live.seen.map((it) => (it.id === id ? { ...it, givenUp: true } : it));
}

/** The first word on a wish stays, and takes the place of that on another one. */
function isRecorded(live: LiveWorld, { uid, outcome }: Step<"end-pod">): void {
  if (live.outcomes.get(uid)?.fingerprint === outcome.fingerprint) return;
  startsOver(live, uid);
  live.outcomes.set(uid, outcome);
  live.finished.set(uid, outcome.fingerprint);
}

function created(live: LiveWorld, sandbox: string, id: string, start: ContainerStart): void {
  const { kind, attempt, restarts, crashes, container } = start;
  const { name } = container;
  const counts = { attempt, restarts, crashes };
  const made = { state: "created", postStarted: false, detail: undefined } as const;
  const row: SeenContainer = { id, name, kind, ...counts, ...made };
  live.seen = live.seen.map((it) =>
    it.id === sandbox
      ? {
          ...it,
          containers: [row, ...it.containers].toSorted((a, b) => b.attempt - a.attempt),
        }
      : it,
  );
}

function runs(live: LiveWorld, id: string, { uid, fingerprint }: Step<"start-pod">): void {
  const key = `${uid} ${fingerprint} ${id}`;
  if (live.finished.get(uid) === fingerprint) live.startedInVain.push(key);
  live.starts.set(key, (live.starts.get(key) ?? 0) + 1);
  live.bornAtMs.set(id, timeOf(live));
  const times = { startedAtMs: live.nowMs, finishedAtMs: 0 };
  const detail = { state: "running", ...times, exitCode: 0, reason: "", message: "" } as const;
  change(live, id, (it) => ({ ...it, state: "running", detail }));
}

function leaves(
  live: LiveWorld,
  { id, pod, containers }: SeenSandbox,
  whole = false,
): readonly (() => void)[] {
  return [
    ...containers.map((it) => () => ends(live, it.id, 143)),
    () => {
      live.seen = live.seen.filter((it) => it.id !== id);
      if (whole && !live.seen.some((it) => it.pod === pod)) startsOver(live, pod);
    },
  ];
}

/** A pod that left whole and comes back has no past. */
export function startsOver(live: LiveWorld, uid: PodId): void {
  live.finished.delete(uid);
  for (const key of live.starts.keys()) if (key.startsWith(uid)) live.starts.delete(key);
  for (const id of live.ownEnds) if (id.startsWith(uid)) live.ownEnds.delete(id);
}

function forget(live: LiveWorld, keep: (container: SeenContainer) => boolean): void {
  live.seen = live.seen.map((it) => ({ ...it, containers: it.containers.filter(keep) }));
}

export function ofPod(live: LiveWorld, pod: Pod): readonly SeenSandbox[] {
  return live.seen.filter((it) => it.pod === uidOf(pod));
}
