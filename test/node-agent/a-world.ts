import type { PodId } from "../../contract/ids.ts";
import type { Pod } from "../../contract/pod.ts";
import { fingerprint } from "../../node-agent/fingerprint.ts";
import type { SeenContainer, SeenSandbox } from "../../node-agent/observe.ts";
import { planNode, type Step, type World } from "../../node-agent/plan.ts";

/** Long after everything that the builders make has ended. */
const LATE_MS = 10_000_000;

export const fp = (pod: Pod): string => fingerprint(pod);
export const uidOf = (pod: Pod): PodId => pod.metadata.uid;

export function aContainer(
  said: Partial<Pick<SeenContainer, "id" | "state" | "attempt" | "restarts" | "crashes">> & {
    readonly ranMs?: number;
    readonly endedAtMs?: number;
    readonly exitCode?: number;
    readonly reason?: string;
  } = {},
): SeenContainer {
  const { state = "running", endedAtMs = 2_000, ranMs = 1_000 } = said;
  const ended = state === "exited" || state === "unknown";
  return {
    id: said.id ?? "c1",
    name: "web",
    attempt: said.attempt ?? 0,
    state,
    restarts: said.restarts ?? 0,
    crashes: said.crashes ?? 0,
    detail:
      state === "created"
        ? undefined
        : {
            state,
            startedAtMs: endedAtMs - ranMs,
            finishedAtMs: ended ? endedAtMs : 0,
            exitCode: said.exitCode ?? 0,
            reason: said.reason ?? "",
            message: "",
          },
  };
}

export function aSandbox(pod: Pod, said: Partial<SeenSandbox> = {}): SeenSandbox {
  return {
    id: "s1",
    pod: pod.metadata.uid,
    fingerprint: fp(pod),
    ready: true,
    attempt: 0,
    createdAtMs: 1_000,
    graceSeconds: 1,
    ip: "10.0.0.2",
    unclear: false,
    containers: [aContainer()],
    ...said,
  };
}

export function aWorld(wanted: readonly Pod[], seen: readonly SeenSandbox[]): World {
  return {
    wanted: wanted.map((pod) => ({ pod, fingerprint: fp(pod) })),
    seen,
    busy: new Set(),
    setbacks: new Map(),
    startupFailed: new Set(),
    nowMs: LATE_MS,
  };
}

export type Ending = {
  readonly seen: readonly SeenSandbox[];
  /** The most sandboxes that one pod had at any time after the first round. */
  readonly mostOfOnePod: number;
  readonly mostOfOnePodAtStart: number;
  /** Sandboxes that were all they should be and were acted on. */
  readonly touchedHealthy: readonly string[];
};

/** Does what the plan says. Where `podsWork` is false, every container ends right after its start. */
export function live(
  wanted: readonly Pod[],
  start: readonly SeenSandbox[],
  podsWork: boolean,
): Ending {
  let seen = start;
  let mostOfOnePod = 0;
  const touchedHealthy: string[] = [];
  const healthy = new Set(
    wanted.flatMap((pod) => {
      const own = start.filter(
        (it) => it.pod === uidOf(pod) && it.ready && it.fingerprint === fp(pod),
      );
      const [newest] = own;
      return newest?.containers[0]?.state === "running" ? [newest.id] : [];
    }),
  );
  for (let turn = 0; turn < 30; turn++) {
    for (const step of planNode(aWorld(wanted, seen))) {
      if (podsWork && step.do === "remove-sandboxes")
        touchedHealthy.push(...step.sandboxes.map((it) => it.id).filter((id) => healthy.has(id)));
      seen = carryOut(step, seen, podsWork, turn);
    }
    mostOfOnePod = Math.max(mostOfOnePod, mostSandboxes(seen));
  }
  return { seen, mostOfOnePod, mostOfOnePodAtStart: mostSandboxes(start), touchedHealthy };
}

function carryOut(
  step: Step,
  seen: readonly SeenSandbox[],
  podsWork: boolean,
  turn: number,
): readonly SeenSandbox[] {
  if (step.do === "remove-sandboxes") {
    const gone = new Set(step.sandboxes.map((it) => it.id));
    return seen.filter((it) => !gone.has(it.id));
  }
  if (step.do === "remove-containers") {
    return seen.map((it) => ({
      ...it,
      containers: it.containers.filter((c) => !step.containers.includes(c.id)),
    }));
  }
  if (step.do === "stop-container") return seen;
  const started = step.starts.map((it) =>
    aContainer({
      id: it.existing ?? `new-${turn}-${it.attempt}`,
      attempt: it.attempt,
      restarts: it.restarts,
      crashes: it.crashes,
      state: podsWork ? "running" : "exited",
    }),
  );
  const ids = new Set(started.map((it) => it.id));
  const add = (sandbox: SeenSandbox) => ({
    ...sandbox,
    containers: [...started, ...sandbox.containers.filter((it) => !ids.has(it.id))],
  });
  if (step.sandbox === undefined)
    return [add(aSandbox(step.pod, { id: `new-${turn}-${step.uid}`, containers: [] })), ...seen];
  return seen.map((it) => (it.id === step.sandbox ? add(it) : it));
}

function mostSandboxes(seen: readonly SeenSandbox[]): number {
  return Math.max(0, ...[...Map.groupBy(seen, (it) => it.pod).values()].map((it) => it.length));
}
