import { randomUUID } from "node:crypto";
import type { PodId } from "../../contract/ids.ts";
import { Pod } from "../../contract/pod/pod.ts";
import type { SeenContainer, SeenSandbox } from "../../node-agent/observe.ts";
import { fingerprint } from "../../node-agent/plan/fingerprint.ts";
import type { World } from "../../node-agent/plan/plan.ts";
import type { Verdict } from "../../node-agent/probes/verdict.ts";
import { A_DIGEST } from "../support/pods.ts";

/** Long after everything that the builders make has ended. */
export const LATE_MS = 10_000_000;

const prints = new WeakMap<Pod, string>();
/** Hashed once a pod: worlds are made by the thousands. */
export function fp(pod: Pod): string {
  const print = prints.get(pod) ?? fingerprint(pod);
  prints.set(pod, print);
  return print;
}
export const uidOf = (pod: Pod): PodId => pod.metadata.uid;

type SaidContainer = {
  readonly name: string;
  readonly sidecar?: boolean;
  /** Which probes ask about it. */
  readonly probes?: readonly ("startup" | "readiness" | "liveness")[];
  readonly env?: string;
  /** Whether it has a postStart hook. */
  readonly hook?: boolean;
};

/** A pod of many containers; what a test is about, it says. */
export function aPodOf(said: {
  readonly uid?: string;
  readonly policy?: Pod["spec"]["restartPolicy"];
  readonly init?: readonly SaidContainer[];
  readonly main?: readonly SaidContainer[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly volumes?: readonly object[];
}): Pod {
  return Pod.parse({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web-1", uid: said.uid ?? randomUUID(), labels: said.labels ?? {} },
    spec: {
      initContainers: (said.init ?? []).map(container),
      containers: (said.main ?? [{ name: "web" }]).map(container),
      volumes: said.volumes ?? [],
      restartPolicy: said.policy ?? "Always",
      terminationGracePeriodSeconds: 9,
    },
  });
}

function container({ name, sidecar, probes = [], env, hook }: SaidContainer) {
  const probe = { httpGet: { port: 8080 } };
  return {
    name,
    image: `waybill.internal/apps/web@${A_DIGEST}`,
    ...(sidecar && { restartPolicy: "Always" }),
    ...(hook && { lifecycle: { postStart: { sleep: { seconds: 1 } } } }),
    ...(env && { env: [{ name: "IT", value: env }] }),
    ...Object.fromEntries(probes.map((it) => [`${it}Probe`, probe])),
  };
}

export function aContainer(
  said: Partial<Omit<SeenContainer, "detail">> & {
    readonly ranMs?: number;
    readonly endedAtMs?: number;
    readonly exitCode?: number;
    readonly reason?: string;
  } = {},
): SeenContainer {
  const { state = "running", endedAtMs = 2_000, ranMs = 1_000 } = said;
  const ended = state === "exited" || state === "unknown";
  const name = said.name ?? "web";
  const attempt = said.attempt ?? 0;
  return {
    id: said.id ?? (said.name === undefined ? "c1" : `${name}-${attempt}`),
    name,
    kind: said.kind ?? "main",
    attempt,
    state,
    restarts: said.restarts ?? 0,
    crashes: said.crashes ?? 0,
    postStarted: said.postStarted ?? true,
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
    givenUp: false,
    attempt: 0,
    deaths: 0,
    createdAtMs: 1_000,
    graceSeconds: 1,
    spec: pod,
    ip: "10.0.0.2",
    unclear: false,
    containers: [aContainer()],
    ...said,
  };
}

export function aVerdict(said: Partial<Verdict> = {}): Verdict {
  return { started: true, ready: true, kill: undefined, sight: undefined, failures: [], ...said };
}

export function aWorld(
  wanted: readonly Pod[],
  seen: readonly SeenSandbox[],
  said: Partial<World> = {},
): World {
  return {
    wanted: wanted.map((pod) => ({ pod, fingerprint: fp(pod) })),
    leaving: true,
    planned: true,
    seen,
    outcomes: new Map(),
    busy: new Set(),
    setbacks: new Map(),
    confirmed: true,
    verdicts: new Map(),
    nowMs: LATE_MS,
    ...said,
  };
}
