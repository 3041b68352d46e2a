import type { PodId } from "../../contract/ids.ts";
import type { Log } from "../../kit/log.ts";
import type { Setback } from "../plan/backoff.ts";
import type { WantedPod } from "../plan/plan.ts";
import type { Step } from "../plan/steps.ts";
import { type Executors, perform } from "./act.ts";
import { StartError } from "./start-error.ts";

/** The steps that are being carried out, and what became of those that failed. */
export type UnderWay = {
  /** As it stands now: what ends later is still in what was answered before. */
  steps(): ReadonlyMap<PodId, Step>;
  setbacks(): ReadonlyMap<PodId, Setback>;
  /** Starts them and does not wait. */
  carryOut(steps: readonly Step[]): void;
  /** Gives up starts that nobody asks for any more. */
  giveUpOutdated(wanted: readonly WantedPod[]): void;
  /** Forgets the setbacks of all other pods. */
  keepOnly(pods: ReadonlySet<PodId>): void;
};

type Going = { readonly step: Step; readonly giveUp: () => void };

/** `onDone` is called when a step has ended, well or not. */
export function openUnderWay(executors: Executors, log: Log, onDone: () => void): UnderWay {
  const going = new Map<PodId, Going>();
  const setbacks = new Map<PodId, Setback>();

  function carryOut(step: Step): void {
    const controller = new AbortController();
    going.set(step.uid, { step, giveUp: () => controller.abort() });
    perform(executors, step, controller.signal)
      .then(
        () => succeeded(step),
        (error: unknown) => {
          if (controller.signal.aborted) return;
          setbacks.set(step.uid, setbackAfter(setbacks.get(step.uid), step, error));
          log.error(`${step.do} failed`, error, { pod: step.uid });
        },
      )
      .finally(() => {
        going.delete(step.uid);
        onDone();
      });
  }

  /** A pod that could be started has overcome whatever failed before. */
  function succeeded({ uid, do: done }: Step): void {
    if (done === "start-pod" || setbacks.get(uid)?.of === done) setbacks.delete(uid);
  }

  return {
    steps: () => new Map([...going].map(([uid, { step }]) => [uid, step])),
    setbacks: () => setbacks,
    carryOut: (steps) => {
      for (const step of steps) carryOut(step);
    },
    giveUpOutdated: (wanted) => {
      for (const it of going.values()) if (isOutdated(it.step, wanted)) it.giveUp();
    },
    keepOnly: (pods) => {
      for (const uid of setbacks.keys()) if (!pods.has(uid)) setbacks.delete(uid);
    },
  };
}

/** Whether it starts what nobody asks for any more. */
function isOutdated(step: Step, wanted: readonly WantedPod[]): boolean {
  if (step.do !== "start-pod") return false;
  return !wanted.some(
    (it) => it.fingerprint === step.fingerprint && it.pod.metadata.uid === step.uid,
  );
}

function setbackAfter(last: Setback | undefined, step: Step, error: unknown): Setback {
  return {
    of: step.do,
    failures: (last?.of === step.do ? last.failures : 0) + 1,
    atMs: Date.now(),
    reason: error instanceof StartError ? error.reason : "Error",
    message: error instanceof Error ? error.message : String(error),
  };
}
