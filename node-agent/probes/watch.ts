import { rest } from "../../kit/rest.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { type Asked, askOnce } from "./ask.ts";
import type { KeptVerdicts } from "./kept-verdicts.ts";
import { earlyPauseMs } from "./pace.ts";
import { openSlots, type Slots } from "./slots.ts";
import {
  firstHearing,
  type Hearing,
  heard,
  initialDelayMs,
  openQuestions,
  type ProbeKind,
  type Probes,
  type Verdict,
} from "./verdict.ts";

/** A running container to ask, known by its id: another start is another target. */
export type ProbeTarget = Asked & {
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

/** A command in a container costs its node some 50 ms of a core, so not many are started at once. */
const EXECS_AT_ONCE = 8;
const EXEC_HOLDS_MS = 1_000;

type Deps = {
  readonly execSync: Runtime["execSync"];
  readonly kept: KeptVerdicts;
  /** Called when an answer changes what is known. */
  readonly onChange: () => void;
  readonly onError: (error: unknown) => void;
};

/** Asks every target's probes, each at its own pace; none waits for another. */
export function openProbeWatch(deps: Deps): ProbeWatch {
  const execSlots = openSlots(EXECS_AT_ONCE, EXEC_HOLDS_MS);
  const verdicts = new Map<string, Verdict>();
  const running = new Map<string, AbortController>();

  function tell(container: string, verdict: Verdict): void {
    const before = verdicts.get(container);
    verdicts.set(container, verdict);
    if (before && !differs(before, verdict)) return;
    deps.kept.keep(verdicts);
    if (before) deps.onChange();
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
        const { container } = target;
        if (running.has(container)) continue;
        const controller = new AbortController();
        running.set(container, controller);
        const { signal } = controller;
        listen(target, { ...deps, execSlots, signal, tell: (it) => tell(container, it) });
      }
    },
    verdicts: () => verdicts,
    close() {
      for (const controller of running.values()) controller.abort();
    },
  };
}

/** Asks one container until the signal is aborted or there is nothing more to ask. */
function listen(
  target: ProbeTarget,
  deps: Deps & {
    readonly execSlots: Slots;
    readonly signal: AbortSignal;
    readonly tell: (verdict: Verdict) => void;
  },
): void {
  const { probes } = target;
  const { signal } = deps;
  const ranMs = clockSince(target.startedAtMs);
  const asking = new Set<ProbeKind>();
  let hearing: Hearing = firstHearing(
    probes,
    target.foundRunning ? deps.kept.before(target.container) : undefined,
  );
  deps.tell(hearing.verdict);
  askOpenOnes();

  function askOpenOnes(): void {
    for (const kind of openQuestions(hearing, probes)) {
      if (asking.has(kind)) continue;
      asking.add(kind);
      askInTurns(kind)
        .catch(deps.onError)
        .finally(() => asking.delete(kind));
    }
  }

  async function askInTurns(kind: ProbeKind): Promise<void> {
    const probe = probes[kind];
    if (!probe) return;
    let dueMs = initialDelayMs(probe);
    let nextMs = dueMs;
    for (;;) {
      await rest(nextMs - ranMs(), signal);
      if (signal.aborted || !openQuestions(hearing, probes).includes(kind)) return;
      const askedMs = ranMs();
      const early = askedMs < dueMs;
      const atMs = Date.now();
      const answer = await askOnce(probe, target, deps, signal);
      if (signal.aborted) return;
      hearing = heard(hearing, probes, { kind, early, ranMs: ranMs(), atMs }, answer);
      deps.tell(hearing.verdict);
      askOpenOnes();
      if (!early || answer.outcome === "good") dueMs = askedMs + probe.periodSeconds * 1_000;
      const { ready } = hearing.verdict;
      const pauseMs =
        kind === "liveness" ? undefined : earlyPauseMs(probe, answer, { ready, ranMs: askedMs });
      nextMs = pauseMs === undefined ? dueMs : Math.min(dueMs, ranMs() + pauseMs);
    }
  }
}

/** How long it has been running, in ms, whatever happens to the host's clock from here on. */
function clockSince(startedAtMs: number): () => number {
  const aheadMs = Math.max(0, Date.now() - startedAtMs) - performance.now();
  return () => performance.now() + aheadMs;
}

/** Whether anybody would want to know at once; the count and the latency of the same answer wait. */
function differs(before: Verdict, after: Verdict): boolean {
  return (
    before.started !== after.started ||
    before.ready !== after.ready ||
    before.kill !== after.kill ||
    before.sight?.status !== after.sight?.status
  );
}
