import type { ProbeFailure, ProbeSight } from "../../contract/node/protocol.ts";
import type { Probe } from "../../contract/pod/probe.ts";
import type { Answer } from "./answer.ts";

/** What is known of one running container by asking it. Without any probe it is started and ready. */
export type Verdict = {
  /** The startup probe has passed, or there is none; until then nothing else is asked. */
  readonly started: boolean;
  readonly ready: boolean;
  /** The probe that has used up its tries: the container is to be stopped. Never taken back. */
  readonly kill: "startup" | "liveness" | undefined;
  /** The last answer to the startup or readiness probe. */
  readonly sight: ProbeSight | undefined;
  /** The last questions that went wrong, oldest first. */
  readonly failures: readonly ProbeFailure[];
};

export type ProbeKind = ProbeFailure["probe"];
export type Probes = { readonly [K in ProbeKind]: Probe | undefined };

type Tally = { readonly successes: number; readonly failures: number };

/** What outlives the agent's own restart. */
export type KnownBefore = Pick<Verdict, "started" | "ready">;

/** A verdict, and the counts of answers in a row that it follows from. */
export type Hearing = {
  readonly verdict: Verdict;
  readonly tallies: { readonly [K in ProbeKind]: Tally };
};

export type Question = {
  readonly kind: ProbeKind;
  /** Asked ahead of the probe's own pace: a bad answer then counts for nothing. */
  readonly early: boolean;
  /** Since the container's start. */
  readonly ranMs: number;
  /** Ms since the epoch. */
  readonly atMs: number;
};

/** Source: the node protocol's bound. */
const MAX_FAILURES = 10;
const NONE: Tally = { successes: 0, failures: 0 };

/** `before` is what an earlier agent knew of a container found running: so it stays until it answers. */
export function firstHearing(probes: Probes, before?: KnownBefore): Hearing {
  const started = probes.startup === undefined || (before?.started ?? false);
  const ready = started && (probes.readiness === undefined || (before?.ready ?? false));
  return {
    verdict: { started, ready, kill: undefined, sight: undefined, failures: [] },
    tallies: { startup: NONE, readiness: NONE, liveness: NONE },
  };
}

/** The probes to ask at this point. */
export function openQuestions({ verdict }: Hearing, probes: Probes): readonly ProbeKind[] {
  if (verdict.kill !== undefined) return [];
  const kinds: readonly ProbeKind[] = verdict.started ? ["readiness", "liveness"] : ["startup"];
  return kinds.filter((it) => probes[it] !== undefined);
}

/**
 * What is known after one more answer. Bad answers count at the probe's own pace only, as Kubernetes
 * counts them, so that asking more often can make a container ready sooner and never end it sooner.
 */
export function heard(
  hearing: Hearing,
  probes: Probes,
  question: Question,
  answer: Answer,
): Hearing {
  const { kind, early } = question;
  const probe = probes[kind];
  if (!probe || answer.outcome === "unclear") return hearing;
  const told = { ...hearing.verdict, sight: sightAfter(hearing.verdict, kind, answer) };
  if (answer.outcome === "good") {
    const tally = { successes: hearing.tallies[kind].successes + 1, failures: 0 };
    const tallies = { ...hearing.tallies, [kind]: tally };
    return succeeded({ verdict: told, tallies }, probes, probe, question);
  }
  if (early) return { ...hearing, verdict: told };
  const tally = { successes: 0, failures: hearing.tallies[kind].failures + 1 };
  const failures = [...told.failures, failureOf(question, answer)].slice(-MAX_FAILURES);
  const tallies = { ...hearing.tallies, [kind]: tally };
  return { verdict: failed({ ...told, failures }, probe, question, tally), tallies };
}

function succeeded(
  { verdict, tallies }: Hearing,
  probes: Probes,
  probe: Probe,
  { kind, ranMs }: Question,
): Hearing {
  if (kind === "liveness" || tallies[kind].successes < probe.successThreshold)
    return { verdict, tallies };
  if (kind === "readiness") return { verdict: { ...verdict, ready: true }, tallies };
  const { readiness } = probes;
  if (readiness === undefined)
    return { verdict: { ...verdict, started: true, ready: true }, tallies };
  const passed = { ...verdict, started: true };
  if (!answersFor(probe, readiness, ranMs)) return { verdict: passed, tallies };
  return succeeded(
    { verdict: passed, tallies: { ...tallies, readiness: { successes: 1, failures: 0 } } },
    probes,
    readiness,
    { kind: "readiness", early: false, ranMs, atMs: 0 },
  );
}

/**
 * A passed startup probe that asks the same thing as the readiness probe has answered for it too, so
 * a container is ready with its first good answer and not with the second.
 */
function answersFor(startup: Probe, readiness: Probe, ranMs: number): boolean {
  return actionOf(startup) === actionOf(readiness) && ranMs >= initialDelayMs(readiness);
}

function actionOf({ httpGet, tcpSocket, exec }: Probe): string {
  return JSON.stringify([httpGet, tcpSocket, exec]);
}

function failed(
  verdict: Verdict,
  probe: Probe,
  { kind, ranMs }: Question,
  { failures }: Tally,
): Verdict {
  if (failures < probe.failureThreshold) return verdict;
  if (kind === "readiness") return { ...verdict, ready: false };
  if (kind === "startup" && ranMs < startupBudgetMs(probe)) return verdict;
  return { ...verdict, ready: false, kill: kind };
}

/** What Kubernetes' documentation promises a slow start: all periods in full. */
function startupBudgetMs(probe: Probe): number {
  return initialDelayMs(probe) + probe.failureThreshold * probe.periodSeconds * 1_000;
}

export function initialDelayMs(probe: Probe): number {
  return probe.initialDelaySeconds * 1_000;
}

function sightAfter({ sight: last }: Verdict, kind: ProbeKind, answer: Answer) {
  if (kind === "liveness") return last;
  const same = last !== undefined && last.status === answer.status;
  return {
    times: same ? last.times + 1 : 1,
    excerpt: answer.excerpt,
    latencyMs: answer.latencyMs,
    ...(answer.status !== undefined && { status: answer.status }),
  };
}

function failureOf({ kind, atMs }: Question, answer: Answer): ProbeFailure {
  return {
    probe: kind,
    at: new Date(atMs).toISOString(),
    latencyMs: answer.latencyMs,
    excerpt: answer.excerpt,
    ...(answer.status !== undefined && { status: answer.status }),
  };
}
