import { expect } from "vitest";
import type { SeenContainer, SeenSandbox } from "../../node-agent/observe.ts";
import { planNode, type World } from "../../node-agent/plan/plan.ts";
import { nextLookAtMs } from "../../node-agent/plan/plan-look.ts";
import type { Step } from "../../node-agent/plan/steps.ts";
import type { LiveWorld } from "./a-world-lives.ts";

/*
 * What no plan may ever do, whatever the world looks like. Said of pods and containers, not of how the
 * planner goes about it.
 */

/** Comparing whole worlds is slow. */
const EVERY = 7;
const LONGEST_PAUSE_MS = 300_000;
/** An end that lies further ahead than this was before the clock was set back. */
const AHEAD_MS = 1_000;

/** The plan for this world, which breaks none of the rules. */
export function lawfulPlan(world: World): readonly Step[] {
  const plan = planNode(world);
  if (Math.floor(world.nowMs) % EVERY === 0) isRepeatable(world, plan);
  nothingComesUnlooked(world, plan);
  noPauseIsEndless(world);
  unwantedOnesLeave(world, plan);
  expect(new Set(plan.map((it) => it.uid)).size, "one step a pod").toBe(plan.length);
  for (const step of plan) {
    const own = world.seen.filter((it) => it.pod === step.uid);
    expect(world.busy.has(step.uid), "a pod under way is left alone").toBe(false);
    noHaste(step, world);
    const isUnclear = own.some((it) => it.unclear);
    if (isWanted(step, world)) expect(isUnclear, "an unclear pod is left alone").toBe(false);
    else expect(world.leaving, "nothing leaves unless somebody has decided so").toBe(true);
    if (step.do === "start-pod") startRules(step, own, world);
    if (step.do === "remove-sandboxes") removalRules(step, own, world);
    if (step.do === "stop-container") stopRules(step, own, world);
    if (step.do === "end-pod") endRules(step, own, world);
    if (step.do === "remove-containers") tidyRules(step, own);
  }
  return plan;
}

/** Two sandboxes of one pod, or two starts of one container, never live side by side. */
export function noTwins(live: LiveWorld, known: ReadonlySet<string>): void {
  for (const own of Map.groupBy(live.seen, (it) => it.pod).values()) {
    const living = own.filter((it) => it.ready && !known.has(it.id));
    expect(living.length, "one sandbox of a pod lives").toBeLessThanOrEqual(1);
    const running = own.flatMap((it) => it.containers).filter((it) => it.state === "running");
    const names = running.filter((it) => !known.has(it.id)).map((it) => it.name);
    expect(new Set(names).size, "one start of a container runs").toBe(names.length);
  }
  expect(live.startedInVain, "what has done its work is never started again").toEqual([]);
  for (const [start, times] of live.starts) expect(times, `${start} is started once`).toBe(1);
}

/** Nothing that failed is tried again at once, and another step waits for none. */
function noHaste(step: Step, { setbacks, nowMs }: World): void {
  const last = setbacks.get(step.uid);
  if (last?.of !== step.do || last.atMs > nowMs) return;
  expect(nowMs - last.atMs, "what failed is tried again later").toBeGreaterThanOrEqual(500);
}

function isWanted({ uid }: Step, { wanted }: World): boolean {
  return wanted.some((it) => it.pod.metadata.uid === uid);
}

/** Whatever is known of them, and whatever failed before. */
function unwantedOnesLeave(world: World, plan: readonly Step[]): void {
  if (!world.leaving) return;
  const wanted = new Set(world.wanted.map((it) => it.pod.metadata.uid));
  const going = new Set([...plan.map((it) => it.uid), ...world.busy]);
  for (const [uid, it] of world.setbacks) if (it.of === "remove-sandboxes") going.add(uid);
  const left = world.seen.filter((it) => !wanted.has(it.pod) && !going.has(it.pod));
  expect(left, "what nobody wants leaves").toEqual([]);
}

function isRepeatable(world: World, plan: readonly Step[]): void {
  const copy = structuredClone(world);
  expect(planNode(copy), "the same world gives the same plan").toEqual(plan);
  expect(copy, "a world that was planned is not changed").toEqual(world);
}

/** What time alone makes due is looked for by then. */
function nothingComesUnlooked(world: World, plan: readonly Step[]): void {
  if (plan.length > 0) return;
  const lookAtMs = nextLookAtMs(world) ?? Number.POSITIVE_INFINITY;
  const nowMs = Math.min(lookAtMs - 1, world.nowMs + 86_400_000);
  expect(planNode({ ...world, nowMs }), "nothing is due before the next look").toEqual([]);
}

/** Whatever the clock says of what was before. */
function noPauseIsEndless(world: World): void {
  const isOver = (it: SeenContainer) => it.state !== "running";
  const still = world.seen.map((it) => ({ ...it, containers: it.containers.filter(isOver) }));
  const lookAtMs = nextLookAtMs({ ...world, seen: still }) ?? world.nowMs;
  expect(lookAtMs - world.nowMs, "a pause has an end").toBeLessThanOrEqual(
    LONGEST_PAUSE_MS + AHEAD_MS,
  );
}

function startRules(step: Step<"start-pod">, own: readonly SeenSandbox[], world: World): void {
  const { pod, fingerprint, starts } = step;
  expect(world.outcomes.get(step.uid)?.fingerprint, "what is over stays over").not.toBe(
    fingerprint,
  );
  const others = own.filter(
    (it) => it.fingerprint !== fingerprint || (it.ready && it.id !== step.sandbox),
  );
  expect(others, "removal comes before addition").toEqual([]);
  const sandbox = own.find((it) => it.id === step.sandbox);
  const newest = (name: string) => sandbox?.containers.find((it) => it.name === name);
  const begun = pod.spec.containers.some((it) => newest(it.name));
  const inThisStep = new Set<string>();
  for (const { container, kind, existing } of starts) {
    const last = newest(container.name);
    const isMade = last?.state === "created" || last?.state === "running";
    expect(existing?.id, "what was made is not made again").toBe(isMade ? last.id : undefined);
    const missed = last?.state === "running" && !last.postStarted;
    if (existing?.runs) expect(missed, "a hook is run once").toBe(true);
    if (last && !existing) mayRunAgain(last, kind, step, world);
    if (kind === "init") expect(begun, "init containers come first").toBe(false);
    if (!last) {
      const order = [...pod.spec.initContainers];
      const before =
        kind === "main"
          ? order
          : order.slice(
              0,
              order.findIndex((it) => it.name === container.name),
            );
      for (const it of begun ? [] : before)
        hadItsTurn(it, newest(it.name), inThisStep.has(it.name), world);
    }
    inThisStep.add(container.name);
  }
}

function mayRunAgain(
  last: SeenContainer,
  kind: string,
  { pod }: Step<"start-pod">,
  world: World,
): void {
  const policy = pod.spec.restartPolicy;
  const code = last.detail?.exitCode;
  expect(last.state, "what runs is not started").toBe("exited");
  const pauseMs = world.nowMs - (last.detail?.finishedAtMs ?? 0);
  if (pauseMs >= -AHEAD_MS) expect(pauseMs, "a pause first").toBeGreaterThanOrEqual(1_000);
  if (kind === "sidecar") return;
  expect(policy, "Never is never").not.toBe("Never");
  if (policy === "OnFailure" || kind === "init") expect(code, "what succeeded is done").not.toBe(0);
}

type Init = Step<"start-pod">["pod"]["spec"]["initContainers"][number];

function hadItsTurn(
  init: Init,
  last: SeenContainer | undefined,
  started: boolean,
  world: World,
): void {
  if (init.restartPolicy !== "Always") {
    expect([last?.state, last?.detail?.exitCode], "an init container ends well first").toEqual([
      "exited",
      0,
    ]);
    return;
  }
  const asked = init.readinessProbe !== undefined || init.startupProbe !== undefined;
  if (started && !asked) return;
  expect(last?.state, "a sidecar runs first").toBe("running");
  if (init.lifecycle) expect(last?.postStarted, "with its hook, too").toBe(true);
  const ready = last && world.verdicts.get(last.id)?.ready;
  if (asked) expect(ready, "a sidecar is ready first").toBe(true);
}

function removalRules(
  step: Step<"remove-sandboxes">,
  own: readonly SeenSandbox[],
  world: World,
): void {
  const wanted = world.wanted.find((it) => it.pod.metadata.uid === step.uid);
  const gone = new Set(step.sandboxes.map((it) => it.id));
  expect(step.whole, "whole means all").toBe(gone.size === own.length);
  if (!wanted) return;
  for (const it of step.sandboxes) {
    const isAsAsked = it.fingerprint === wanted.fingerprint;
    if (!isAsAsked) expect(world.leaving, "nobody asked for another one").toBe(true);
    if (!it.ready || !isAsAsked) continue;
    const better = own.some(
      (other) => other.ready && !gone.has(other.id) && other.fingerprint === it.fingerprint,
    );
    expect(better, "what is as it should be is never stopped").toBe(true);
  }
}

function stopRules(step: Step<"stop-container">, own: readonly SeenSandbox[], world: World): void {
  const found = own.flatMap((it) => it.containers).find((it) => it.id === step.container);
  const lost = found?.state === "unknown";
  const killed =
    found?.state === "running" && world.verdicts.get(step.container)?.kill !== undefined;
  expect(lost || killed, "only a probe ends a container").toBe(true);
}

function endRules(step: Step<"end-pod">, own: readonly SeenSandbox[], world: World): void {
  if (world.outcomes.get(step.uid) === step.outcome) return;
  const pod = world.wanted.find((it) => it.pod.metadata.uid === step.uid)?.pod;
  expect(pod?.spec.restartPolicy, "Always never ends").not.toBe("Always");
  const sandbox = own.find((it) => it.ready) ?? own.toSorted((a, b) => b.attempt - a.attempt)[0];
  expect(sandbox?.givenUp, "what the agent itself has ended is not judged").toBe(false);
  const newest = (name: string) => sandbox?.containers.find((it) => it.name === name);
  const mains = pod?.spec.containers.map((it) => newest(it.name)) ?? [];
  const begun = mains.some((it) => it !== undefined);
  if (begun)
    expect(new Set(mains.map((it) => it?.state)), "all have ended").toEqual(new Set(["exited"]));
  const codes = begun
    ? mains.map((it) => it?.detail?.exitCode)
    : (pod?.spec.initContainers ?? []).flatMap((it) =>
        it.restartPolicy === "Always" ? [] : (newest(it.name)?.detail?.exitCode ?? []),
      );
  if (!sandbox?.ready) expect(codes, "who died with a sandbox has not ended").not.toContain(137);
  const well = codes.every((it) => it === 0);
  expect(step.outcome.status.phase, "it ends as its containers did").toBe(
    well ? "Succeeded" : "Failed",
  );
}

function tidyRules(step: Step<"remove-containers">, own: readonly SeenSandbox[]): void {
  for (const { containers } of own) {
    for (const starts of Map.groupBy(containers, (it) => it.name).values()) {
      const kept = starts.filter((it) => !step.containers.includes(it.id));
      expect(kept.slice(0, 2), "the last two starts are kept").toEqual(starts.slice(0, 2));
    }
  }
}
