import type { ProbeSight } from "../../contract/node-protocol.ts";
import type { Probe } from "../../contract/pod.ts";
import type { Answer } from "./http-get.ts";

export type Readiness = "unknown" | "ready" | "not-ready";

/** What is known of one running container by asking it. */
export type Verdict = {
  /** Of a container found running: whoever routed to it before goes on until it was asked. */
  readonly readiness: Readiness;
  /** Whether the startup probe has passed, or there is none: until then nothing else is asked. */
  readonly started: boolean;
  /** The startup probe has used up its tries. */
  readonly startupFailed: boolean;
  readonly successes: number;
  readonly failures: number;
  readonly sight: ProbeSight | undefined;
};

export type Probes = { readonly startup: Probe | undefined; readonly readiness: Probe | undefined };

/** Without any probe a running container is ready, as in Kubernetes. */
export function firstVerdict(probes: Probes, foundRunning: boolean): Verdict {
  const asked = probes.startup !== undefined || probes.readiness !== undefined;
  return {
    readiness: asked ? (foundRunning ? "unknown" : "not-ready") : "ready",
    started: probes.startup === undefined,
    startupFailed: false,
    successes: 0,
    failures: 0,
    sight: undefined,
  };
}

/** The probe to ask next, or undefined when there is nothing to ask. */
export function currentProbe(verdict: Verdict, probes: Probes): Probe | undefined {
  return verdict.started ? probes.readiness : probes.startup;
}

/** The verdict after one more answer to `probe`. `ranMs` is how long the container has been running. */
export function judge(
  verdict: Verdict,
  probes: Probes,
  probe: Probe,
  answer: Answer,
  ranMs: number,
): Verdict {
  const good = answer.kind === "answered" && answer.status >= 200 && answer.status < 400;
  const counted = {
    ...verdict,
    successes: good ? verdict.successes + 1 : 0,
    failures: good ? 0 : verdict.failures + 1,
    sight: sightOf(answer, verdict.sight),
  };
  return verdict.started ? ready(counted, probe) : started(counted, probes, probe, ranMs);
}

/**
 * A passed startup probe that asks the same page as the readiness probe has answered for it too, so
 * a pod is ready with its first good answer and not with the second.
 */
function started(verdict: Verdict, probes: Probes, probe: Probe, ranMs: number): Verdict {
  if (verdict.successes >= probe.successThreshold) {
    const passed = { ...verdict, started: true, startupFailed: false };
    if (probes.readiness === undefined) return { ...passed, readiness: "ready" };
    return samePage(probe, probes.readiness)
      ? ready({ ...passed, successes: 1 }, probes.readiness)
      : { ...passed, successes: 0, failures: 0 };
  }
  const spent = ranMs >= probe.failureThreshold * probe.periodSeconds * 1_000;
  const startupFailed = spent && verdict.failures > 0;
  return {
    ...verdict,
    startupFailed,
    readiness: verdict.failures > 0 ? "not-ready" : verdict.readiness,
  };
}

function ready(verdict: Verdict, probe: Probe): Verdict {
  if (verdict.successes >= probe.successThreshold) return { ...verdict, readiness: "ready" };
  const down = verdict.readiness !== "ready" && verdict.failures > 0;
  const failed = down || verdict.failures >= probe.failureThreshold;
  return failed ? { ...verdict, readiness: "not-ready" } : verdict;
}

function samePage(a: Probe, b: Probe): boolean {
  return a.httpGet.path === b.httpGet.path && a.httpGet.port === b.httpGet.port;
}

function sightOf(answer: Answer, last: ProbeSight | undefined): ProbeSight {
  const status = answer.kind === "answered" ? answer.status : undefined;
  const same = last !== undefined && last.status === status;
  return {
    times: same ? last.times + 1 : 1,
    excerpt: answer.excerpt,
    ...(status !== undefined && { status }),
    ...(answer.kind === "answered" && { latencyMs: answer.latencyMs }),
  };
}

const EAGER_MS = 50;
const EAGER_FOR_MS = 30_000;
const PATIENT_MS = 1_000;

/**
 * How long to wait before the next question. A port that nobody listens on costs nothing to ask, so
 * until the pod is ready it is asked often; a page that answers is asked at the probe's own pace.
 */
export function pauseMs(verdict: Verdict, probe: Probe, answer: Answer, ranMs: number): number {
  const periodMs = probe.periodSeconds * 1_000;
  if (verdict.readiness === "ready") return periodMs;
  if (answer.kind !== "refused") {
    const good = answer.kind === "answered" && answer.status >= 200 && answer.status < 400;
    return good ? Math.min(EAGER_MS, periodMs) : periodMs;
  }
  return ranMs < EAGER_FOR_MS ? EAGER_MS : Math.min(periodMs, PATIENT_MS);
}
