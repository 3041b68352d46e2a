import { setTimeout as sleep } from "node:timers/promises";
import { type Answer, httpGet } from "./http-get.ts";
import {
  currentProbe,
  firstVerdict,
  judge,
  type Probes,
  pauseMs,
  type Verdict,
} from "./verdict.ts";

/** A running container to ask, known by its id: another start is another target. */
export type ProbeTarget = {
  readonly container: string;
  readonly ip: string;
  readonly probes: Probes;
  readonly startedAtMs: number;
  /** Whether it ran before this agent did. */
  readonly foundRunning: boolean;
};

export type ProbeWatch = {
  /** Asks these, and no others any more; what is known of those that stay is kept. */
  sync(targets: readonly ProbeTarget[]): void;
  /** By container id. */
  verdicts(): ReadonlyMap<string, Verdict>;
  close(): void;
};

/** Asks every target at its own pace, and calls `onChange` when an answer changes what is known. */
export function openProbeWatch(onChange: () => void): ProbeWatch {
  const verdicts = new Map<string, Verdict>();
  const running = new Map<string, AbortController>();

  async function ask(target: ProbeTarget, signal: AbortSignal): Promise<void> {
    for (;;) {
      const verdict = verdicts.get(target.container);
      const probe = verdict && currentProbe(verdict, target.probes);
      if (!verdict || !probe) return;
      const answer: Answer = await httpGet(target.ip, probe, signal);
      if (signal.aborted) return;
      const ranMs = Date.now() - target.startedAtMs;
      const next = judge(verdict, target.probes, probe, answer, ranMs);
      verdicts.set(target.container, next);
      if (differs(verdict, next)) onChange();
      await sleep(pauseMs(next, probe, answer, ranMs), undefined, { signal }).catch(
        () => undefined,
      );
      if (signal.aborted) return;
    }
  }

  return {
    sync(targets) {
      const wanted = new Set(targets.map((it) => it.container));
      for (const [container, controller] of running) {
        if (wanted.has(container)) continue;
        controller.abort();
        running.delete(container);
        verdicts.delete(container);
      }
      for (const target of targets) {
        if (running.has(target.container)) continue;
        const controller = new AbortController();
        running.set(target.container, controller);
        verdicts.set(target.container, firstVerdict(target.probes, target.foundRunning));
        void ask(target, controller.signal);
      }
    },
    verdicts: () => verdicts,
    close() {
      for (const controller of running.values()) controller.abort();
    },
  };
}

/** Whether anybody would want to know at once; the count and the latency of the same answer wait. */
function differs(before: Verdict, after: Verdict): boolean {
  return (
    before.readiness !== after.readiness ||
    before.startupFailed !== after.startupFailed ||
    before.sight?.status !== after.sight?.status
  );
}
