import type { NodeId, PodId } from "../../../contract/ids.ts";
import type { DesiredState, PodStatus } from "../../../contract/node/protocol.ts";
import type { PodOutcome } from "../../../node-agent/disk/outcomes.ts";
import { accept } from "../../../node-agent/plan/accept.ts";
import type { Setback } from "../../../node-agent/plan/backoff.ts";
import { planNode, type WantedPod } from "../../../node-agent/plan/plan.ts";
import { nextLookAtMs } from "../../../node-agent/plan/plan-look.ts";
import type { Step } from "../../../node-agent/plan/steps.ts";
import { wishOf } from "../../../node-agent/plan/wish.ts";
import { podStatuses, urgentPart } from "../../../node-agent/report/report.ts";
import { fp } from "../../node-agent/a-world.ts";
import type { Machine, Runtime } from "./machine.ts";
import type { Random } from "./random.ts";
import { STEP_MS, type Timeline } from "./timeline.ts";

/* An agent: its own planners and words, over a host that is simulated; what its shells do, in a few lines. */

export type Said = {
  /** Whose wish it had in hand: after joining anew that is another's, until the first answer. */
  readonly node: NodeId;
  readonly observedGeneration: number;
  readonly pods: readonly PodStatus[];
  /** When it looked, by a clock that a boot begins and nobody sets. */
  readonly sinceBootMs: number;
};

/** What is on a host's disk: it outlives the agent and the boot. */
export type Disk = { wish: DesiredState | undefined; outcomes: Map<PodId, PodOutcome> };

/** What a pass knows when the runtime has told all that it lists. */
type Seen = {
  readonly desired: DesiredState | undefined;
  readonly confirmed: boolean;
  readonly before: ReadonlyMap<PodId, Step>;
  readonly seen: Machine["sandboxes"];
};

type Going = { readonly step: Step; givenUp: boolean };

type Executors = { readonly [Do in Step["do"]]: (step: Step<Do>, going: Going) => void };

/** A step that fails now and then, as a pull of an image does. */
const FAILURE = { reason: "ErrImagePull", message: "the registry does not answer" };

export type Agent = ReturnType<typeof startAgent>;

/** A process of an agent, from its start until it is killed. */
export function startAgent(setting: {
  readonly node: NodeId;
  readonly machine: Machine;
  readonly runtime: Runtime;
  readonly disk: Disk;
  readonly timeline: Timeline;
  readonly random: Random;
  /** Called with what it has to say, when that is something else than before. */
  readonly onNews: (said: Said) => void;
  /** Called before it takes away what it is not asked for any more. */
  readonly onStop: (pod: PodId) => void;
}) {
  const { machine, runtime, disk, timeline, random } = setting;
  const going = new Map<PodId, Going>();
  const setbacks = new Map<PodId, Setback>();
  let alive = true;
  let answered = false;
  let waiting = false;
  let again = false;
  let said: Said | undefined;
  let urgent = "";

  const seconds = (least: number, most: number) => random.int(least, most) * STEP_MS;
  const clock = () => timeline.nowMs() + machine.skewMs;

  /** What was begun goes on while this process lives, and ends with it wherever it stands. */
  const later = (ms: number, act: () => void) => timeline.after(ms, () => alive && act());

  /** One pass at a time; a wake during one means one more. */
  function wake(): void {
    if (waiting) again = true;
    else later(0, look);
    waiting = true;
  }

  /** The first half of a pass: a slow runtime takes its time to tell all about what it lists. */
  function look(): void {
    const [desired, confirmed] = [disk.wish, answered];
    const before = new Map([...going].map(([uid, { step }]) => [uid, step]));
    const seen = machine.sandboxes;
    const rest = () => {
      waiting = false;
      decide({ desired, confirmed, before, seen });
      if (again) wake();
      again = false;
    };
    if (random.chance(0.1)) later(seconds(1, 2), rest);
    else rest();
  }

  function decide({ desired, confirmed, before, seen }: Seen): void {
    const wish = wishOf(desired, seen, fp);
    if (wish.leaving) keepOnlyKnown(wish.wanted);
    const world = {
      ...wish,
      ...{ seen, confirmed, setbacks, outcomes: disk.outcomes, nowMs: clock() },
      busy: new Set(before.keys()),
      verdicts: runtime.verdicts(seen),
    };
    const steps = planNode(world);
    for (const step of steps) carryOut(step);
    const againMs = (nextLookAtMs(world) ?? Number.POSITIVE_INFINITY) - clock();
    if (Number.isFinite(againMs)) later(againMs, wake);
    if (!desired) return;
    const departing = [...going.values()].flatMap(({ step }) =>
      "sandboxes" in step ? step.sandboxes.map((it) => it.id) : [],
    );
    const sight = {
      ...world,
      ...{ departing: new Set(departing), busy: new Set(going.keys()) },
      ...{ failuresOf: () => [], usage: new Map(), unrouted: new Set<PodId>() },
    };
    const { node, generation } = desired;
    const pods = podStatuses(sight);
    tell({ node, observedGeneration: generation, pods, sinceBootMs: timeline.nowMs() });
  }

  function tell(now: Said): void {
    const words = `${now.node} ${now.observedGeneration} ${urgentPart(now.pods)}`;
    if (words === urgent) return;
    [said, urgent] = [now, words];
    setting.onNews(now);
  }

  function keepOnlyKnown(wanted: readonly WantedPod[]): void {
    const known = new Map(wanted.map((it) => [it.pod.metadata.uid, it.fingerprint]));
    for (const [uid, it] of going)
      if (it.step.do === "start-pod" && known.get(uid) !== it.step.fingerprint) it.givenUp = true;
    for (const uid of disk.outcomes.keys()) if (!known.has(uid)) disk.outcomes.delete(uid);
    for (const uid of setbacks.keys()) if (!known.has(uid)) setbacks.delete(uid);
  }

  function carryOut(step: Step): void {
    const it: Going = { step, givenUp: false };
    going.set(step.uid, it);
    executors[step.do](step as never, it);
  }

  const executors: Executors = {
    "start-pod": startPod,
    "remove-sandboxes": (step) => {
      if (step.because === "unwanted") setting.onStop(step.uid);
      takeAway(step);
    },
    "end-pod": (step) => {
      disk.outcomes.set(step.uid, step.outcome);
      takeAway(step);
    },
    "stop-container": (step) =>
      later(seconds(1, 5), () => {
        runtime.end(step.container, 143);
        done(step);
      }),
    "remove-containers": (step) => {
      runtime.forget(step.containers);
      done(step);
    },
  };

  /** A call to the runtime that was sent is carried out, whatever becomes of the agent. */
  function startPod(step: Step<"start-pod">, it: Going): void {
    timeline.after(seconds(0, 2), () => {
      if (!machine.on) return;
      const sandbox = step.sandbox ?? runtime.make(step);
      later(seconds(0, 2), () => {
        if (it.givenUp) return done(step);
        if (random.chance(0.03)) return failed(step);
        for (const start of step.starts) runtime.start(sandbox, start);
        setbacks.delete(step.uid);
        done(step);
      });
    });
  }

  function takeAway({ sandboxes, ...step }: Step<"remove-sandboxes"> | Step<"end-pod">): void {
    for (const { id } of sandboxes) runtime.leave(id);
    later(seconds(1, 12), () => {
      for (const { id } of sandboxes) runtime.remove(id);
      done(step);
    });
  }

  function failed(step: Step): void {
    const failures = (setbacks.get(step.uid)?.failures ?? 0) + 1;
    setbacks.set(step.uid, { of: step.do, failures, atMs: clock(), ...FAILURE });
    done(step);
  }

  function done({ uid }: { readonly uid: PodId }): void {
    going.delete(uid);
    wake();
  }

  /** An answer of the api, however old: what the ledger's rule says becomes of it. */
  function hear(state: DesiredState): void {
    if (!alive) return;
    const { verdict, keep } = accept(state, disk.wish, setting.node);
    if (keep) disk.wish = keep;
    if (verdict === "taken" || verdict === "same") answered = true;
    wake();
  }

  machine.onChange = wake;
  wake();
  return {
    hear,
    said: () => said,
    isAnswered: () => answered,
    kill: () => {
      alive = false;
      machine.onChange = () => {};
    },
  };
}
