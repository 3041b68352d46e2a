import { expect } from "vitest";
import type { Pod } from "../../contract/pod/pod.ts";
import { rolesOf } from "../../node-agent/plan/kinds.ts";
import type { Step } from "../../node-agent/plan/steps.ts";
import { podStatuses } from "../../node-agent/report/report.ts";
import { aVerdict, fp, uidOf } from "./a-world.ts";
import {
  carryOut,
  change,
  dies,
  endsItself,
  failsToDo,
  type LiveWorld,
  ofPod,
  setsClockBack,
  startsOver,
  timeOf,
  worldOf,
} from "./a-world-lives.ts";
import { lawfulPlan, noTwins } from "./a-world-rules.ts";

/*
 * One moment of a random world after the other: what happens to it, and what an agent then does.
 */

export type Event = {
  readonly pod: number;
  readonly pick: number;
  readonly what: string;
  readonly ms: number;
};

export function happens(live: LiveWorld, event: Event, pods: Pod[]): void {
  const pod = pods[event.pod] as Pod;
  const own = ofPod(live, pod);
  const sandbox = own[event.pick % Math.max(1, own.length)];
  const rows = own.flatMap((it) => it.containers).filter((it) => it.state === "running");
  const row = rows[event.pick % Math.max(1, rows.length)];
  const uid = uidOf(pod);
  const is = (what: string) => event.what === what;
  if (is("sandbox dies") && sandbox) dies(live, sandbox.id, false);
  if (is("sandbox dies and containers linger") && sandbox) dies(live, sandbox.id, true);
  if (is("container ends") && row) endsItself(live, row.id, event.pick % 2);
  if (is("probe kills") && row && row.kind !== "init")
    live.verdicts.set(row.id, aVerdict({ ready: false, kill: "liveness" }));
  if (is("runtime loses") && row) change(live, row.id, (it) => ({ ...it, state: "unknown" }));
  if (is("runtime is unclear"))
    live.seen = live.seen.map((it) => (it.pod === uid ? { ...it, unclear: true } : it));
  if (is("runtime is clear")) live.seen = live.seen.map((it) => ({ ...it, unclear: false }));
  if (is("clock is set back")) setsClockBack(live, 7_200_000);
  if (is("reboot")) for (const it of live.seen) dies(live, it.id, false);
  if (is("other spec")) pods[event.pod] = withEnv(pod, `${event.pick}`);
  if (is("other labels"))
    pods[event.pod] = { ...pod, metadata: { ...pod.metadata, labels: { team: `${event.pick}` } } };
}

function withEnv(pod: Pod, value: string): Pod {
  const [first, ...others] = pod.spec.containers;
  if (!first) return pod;
  const env = [{ name: "IT", value }];
  return { ...pod, spec: { ...pod.spec, containers: [{ ...first, env }, ...others] } };
}

/** The sandbox that a slow start had made or found is dead by now. */
function isBuiltOnSand(live: LiveWorld, step: Step, done: number): boolean {
  if (step.do !== "start-pod" || done === 0) return false;
  const own = live.seen.filter((it) => it.pod === step.uid && it.attempt === step.attempt);
  return own.some((it) => !it.ready);
}

/** What an agent has only in mind. */
function forgetsAll(live: LiveWorld): void {
  live.setbacks.clear();
  live.slow.clear();
}

/** As the agent does with the ends of pods that are not wanted any more. */
function forgetsUnwanted(live: LiveWorld): void {
  if (!live.wanted) return;
  const wanted = new Set(live.wanted.map(uidOf));
  for (const uid of live.outcomes.keys()) {
    if (wanted.has(uid)) continue;
    live.outcomes.delete(uid);
    startsOver(live, uid);
  }
}

/** What is ready has done all that it does when it starts. */
function noneIsReadyTooSoon(live: LiveWorld): void {
  const pods = live.wanted ?? [];
  for (const pod of pods) {
    const [status] = statusesOf(live, [pod]);
    if (!status?.ready) continue;
    const hooked = rolesOf(pod.spec).filter((it) => it.container.lifecycle);
    const [sandbox] = ofPod(live, pod).filter((it) => it.ready && it.fingerprint === fp(pod));
    for (const { container } of hooked) {
      const last = sandbox?.containers.find((it) => it.name === container.name);
      if (last?.state === "running") expect(last.postStarted, "its hook is done").toBe(true);
    }
  }
}

/** One pass of an agent in a world in which `event` just happened. */
export function turn(
  live: LiveWorld,
  event: Event | undefined,
  known: ReadonlySet<string>,
): number {
  for (const [uid, { step, done, atMs }] of live.slow) {
    if (atMs > timeOf(live)) continue;
    live.slow.delete(uid);
    if (isBuiltOnSand(live, step, done)) failsToDo(live, step);
    else carryOut(live, step, done);
  }
  forgetsUnwanted(live);
  const plan = lawfulPlan(worldOf(live));
  const { what = "nothing", pick = 0 } = event ?? {};
  const isCut = what === "step fails" || what === "agent is killed" || what === "step is slow";
  for (const step of plan) {
    carryOut(live, step, 0, isCut ? pick : undefined);
    if (what === "step fails") failsToDo(live, step);
    if (what === "step is slow")
      live.slow.set(step.uid, { step, done: pick, atMs: timeOf(live) + 3_000 });
  }
  if (what === "agent is killed") forgetsAll(live);
  noneIsReadyTooSoon(live);
  noTwins(live, known);
  return plan.length;
}

/** What the agent says of these pods. */
export function statusesOf(live: LiveWorld, pods: readonly Pod[]) {
  const { seen, outcomes, setbacks, verdicts, nowMs } = live;
  return podStatuses({
    wanted: pods.map((pod) => ({ pod, fingerprint: fp(pod) })),
    leaving: true,
    seen: seen.filter((it) => pods.some((pod) => uidOf(pod) === it.pod)),
    outcomes,
    busy: new Set(),
    departing: new Set(),
    setbacks,
    verdicts,
    failuresOf: () => [],
    usage: new Map(),
    unrouted: new Set(),
    nowMs,
  });
}
