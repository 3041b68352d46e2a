import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import type { PodId } from "../contract/ids.ts";
import type { DesiredState, NodeReport, PodStatus } from "../contract/node-protocol.ts";
import type { Log } from "../kit/log.ts";
import { type Executors, perform, StartError } from "./act.ts";
import { fingerprint } from "./fingerprint.ts";
import { logTail } from "./host/log-tail.ts";
import type { Ingress } from "./ingress/keeper.ts";
import { isPlanned, type Ledger } from "./ledger.ts";
import type { Observer, SeenSandbox } from "./observe.ts";
import type { Places } from "./places.ts";
import { planNode, type Setback, type Step, type WantedPod } from "./plan.ts";
import type { ProbeTarget, ProbeWatch } from "./probes/watch.ts";
import { needsLogTail, podStatuses } from "./report.ts";
import { ingressRoutes, type StayingPod, unroutedPods } from "./routing.ts";
import { logFileName } from "./runtime/cri-config.ts";

export type PassDeps = {
  readonly ledger: Ledger;
  readonly observe: Observer;
  readonly watch: ProbeWatch;
  readonly ingress: Ingress;
  readonly executors: Executors;
  readonly places: Places;
  readonly log: Log;
  /** Everything that ran before this moment was found, not started, by this agent. */
  readonly startedAtMs: number;
  readonly facts: Pick<NodeReport, "bootId" | "version" | "capacity">;
  readonly offer: (report: NodeReport) => void;
  /** Called when a step has ended, well or not. */
  readonly onStepDone: () => void;
};

/** What the last pass saw, for those who clean up. */
export type View = {
  readonly desired: DesiredState;
  readonly seen: readonly SeenSandbox[];
  readonly busy: ReadonlySet<PodId>;
};

export type NodePass = {
  /** One turn: look, decide, act, report. Steps are started and not waited for. */
  run(): Promise<void>;
  lastView(): View | undefined;
};

type UnderWay = { readonly step: Step; readonly giveUp: () => void };

const TAIL_LINES = 20;

export function openNodePass(deps: PassDeps): NodePass {
  const underWay = new Map<PodId, UnderWay>();
  const setbacks = new Map<PodId, Setback>();
  let view: View | undefined;

  function carryOut(step: Step): void {
    const controller = new AbortController();
    underWay.set(step.uid, { step, giveUp: () => controller.abort() });
    perform(deps.executors, step, controller.signal)
      .then(
        () => setbacks.delete(step.uid),
        (error: unknown) => {
          if (controller.signal.aborted) return;
          setbacks.set(step.uid, setbackAfter(setbacks.get(step.uid), error));
          deps.log.error(`${step.do} failed`, error, { pod: step.uid });
        },
      )
      .finally(() => {
        underWay.delete(step.uid);
        deps.onStepDone();
      });
  }

  async function run(): Promise<void> {
    const desired = deps.ledger.current();
    // Taken before the list: a step that ends meanwhile must not be planned for with an old list.
    const busyBefore = new Map([...underWay].map(([uid, it]) => [uid, it.step.do] as const));
    const seen = await deps.observe();
    if (desired === undefined) return;
    const wanted = desired.pods.map((pod) => ({ pod, fingerprint: fingerprint(pod) }));
    for (const it of underWay.values()) if (isOutdated(it.step, wanted)) it.giveUp();
    const steps = planNode({
      wanted: isKnown(desired) ? wanted : undefined,
      seen,
      busy: new Set(busyBefore.keys()),
      setbacks,
      startupFailed: startupFailed(deps.watch),
      nowMs: Date.now(),
    });
    const doing = new Map([...busyBefore, ...steps.map((it) => [it.uid, it.do] as const)]);
    // Known to whoever cleans up before the first step makes a folder.
    view = { desired, seen, busy: new Set(doing.keys()) };
    for (const step of steps) carryOut(step);
    // Lets the steps send their first calls before the rest of this turn takes its time.
    await setImmediate();
    const unrouted = route(desired, wanted, seen, doing);
    forgetOthers(setbacks, wanted, seen);
    const { verdicts } = deps.watch;
    const statuses = podStatuses({
      wanted,
      leaving: isKnown(desired),
      seen,
      busy: doing,
      setbacks,
      verdicts: verdicts(),
      unrouted,
      nowMs: Date.now(),
    });
    const pods = await Promise.all(statuses.map((it) => withLogTail(it, seen)));
    deps.offer({ ...deps.facts, observedGeneration: desired.generation, pods });
  }

  /** Asks and routes to the pods that stay; answers which are not reached through the ingress yet. */
  function route(
    desired: DesiredState,
    wanted: readonly WantedPod[],
    seen: readonly SeenSandbox[],
    doing: ReadonlyMap<PodId, Step["do"]>,
  ): ReadonlySet<PodId> {
    const pods = stayingPods(wanted, seen, doing);
    deps.watch.sync([...pods.values()].flatMap((it) => targets(it, deps.startedAtMs)));
    const upstreams = deps.ingress.upstreams();
    const { routes } = desired;
    if (upstreams && isKnown(desired) && allAddressesKnown(pods))
      deps.ingress.want(
        ingressRoutes({ routes, pods, verdicts: deps.watch.verdicts(), upstreams }),
      );
    const now = deps.ingress.upstreams() ?? new Set<string>();
    return unroutedPods({ routes, pods, upstreams: now });
  }

  async function withLogTail(status: PodStatus, seen: readonly SeenSandbox[]): Promise<PodStatus> {
    if (!needsLogTail(status)) return status;
    const [container] = seen.find((it) => it.pod === status.pod)?.containers ?? [];
    if (!container) return status;
    for (const attempt of [container.attempt, container.attempt - 1]) {
      const file = join(deps.places.logDir(status.pod), logFileName(container.name, attempt));
      const lines = await logTail(file, TAIL_LINES);
      if (lines.length > 0) return { ...status, logTail: [...lines] };
    }
    return status;
  }

  return { run, lastView: () => view };
}

/** No pods, and nobody who has decided so: that asks for nothing, neither a start nor a removal. */
function isKnown(desired: DesiredState): boolean {
  return isPlanned(desired) || desired.pods.length > 0;
}

/** An address that the runtime does not tell may be one that requests go to: then all routes stay. */
function allAddressesKnown(pods: ReadonlyMap<PodId, StayingPod>): boolean {
  return [...pods.values()].every(({ sandbox }) => sandbox.ip !== undefined || !sandbox.unclear);
}

/** Whether it starts what nobody asks for any more. */
function isOutdated(step: Step, wanted: readonly WantedPod[]): boolean {
  if (step.do !== "start-pod") return false;
  return !wanted.some(
    (it) => it.fingerprint === step.fingerprint && it.pod.metadata.uid === step.uid,
  );
}

function startupFailed(watch: ProbeWatch): ReadonlySet<string> {
  return new Set([...watch.verdicts()].filter(([, it]) => it.startupFailed).map(([id]) => id));
}

/** The sandbox of each wanted pod that is as it should be and not being taken away. */
function stayingPods(
  wanted: readonly WantedPod[],
  seen: readonly SeenSandbox[],
  doing: ReadonlyMap<PodId, Step["do"]>,
): ReadonlyMap<PodId, StayingPod> {
  const staying = new Map<PodId, StayingPod>();
  for (const { pod, fingerprint: wish } of wanted) {
    const { uid } = pod.metadata;
    const sandbox = seen.find((it) => it.pod === uid && it.fingerprint === wish && it.ready);
    if (sandbox && doing.get(uid) !== "remove-sandboxes") staying.set(uid, { pod, sandbox });
  }
  return staying;
}

function targets({ pod, sandbox }: StayingPod, agentStartedAtMs: number): readonly ProbeTarget[] {
  const { ip, containers } = sandbox;
  if (ip === undefined) return [];
  return pod.spec.containers.flatMap(({ name, startupProbe, readinessProbe }) => {
    const running = containers.find((it) => it.name === name);
    if (running?.state !== "running") return [];
    const startedAtMs = running.detail?.startedAtMs ?? agentStartedAtMs;
    return {
      container: running.id,
      ip,
      probes: { startup: startupProbe, readiness: readinessProbe },
      startedAtMs,
      foundRunning: startedAtMs < agentStartedAtMs,
    };
  });
}

function setbackAfter(last: Setback | undefined, error: unknown): Setback {
  return {
    failures: (last?.failures ?? 0) + 1,
    atMs: Date.now(),
    reason: error instanceof StartError ? error.reason : "Error",
    message: error instanceof Error ? error.message : String(error),
  };
}

function forgetOthers(
  setbacks: Map<PodId, Setback>,
  wanted: readonly WantedPod[],
  seen: readonly SeenSandbox[],
): void {
  const known = new Set([...wanted.map((it) => it.pod.metadata.uid), ...seen.map((it) => it.pod)]);
  for (const uid of setbacks.keys()) if (!known.has(uid)) setbacks.delete(uid);
}
