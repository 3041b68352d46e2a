import { expect, test } from "vitest";
import { Probe } from "../../contract/pod/probe.ts";
import type { Answer } from "../../node-agent/probes/answer.ts";
import { earlyPauseMs } from "../../node-agent/probes/pace.ts";
import {
  firstHearing,
  type Hearing,
  heard,
  type KnownBefore,
  openQuestions,
  type ProbeKind,
  type Probes,
} from "../../node-agent/probes/verdict.ts";

const probe = (said: object = {}) => Probe.parse({ httpGet: { port: 8080 }, ...said });
const answer = (outcome: Answer["outcome"], status?: number): Answer => ({
  outcome,
  status,
  excerpt: outcome,
  latencyMs: 1,
});
const good = answer("good", 200);
const missing = answer("bad", 404);
const refused = answer("refused");
const unclear = answer("unclear");

type Said = { startup?: Probe; readiness?: Probe; liveness?: Probe; before?: KnownBefore };
type Told = readonly [ProbeKind, Answer, early?: "early"];

function probesOf({ startup, readiness, liveness }: Said): Probes {
  return { startup, readiness, liveness };
}

/** What is known after these answers, a second apart. */
function after(answers: readonly Told[], said: Said): Hearing["verdict"] {
  return hearingAfter(answers, said).verdict;
}

function hearingAfter(answers: readonly Told[], said: Said): Hearing {
  const probes = probesOf(said);
  return answers.reduce(
    (hearing, [kind, heardOf, early], at) => {
      const question = { kind, early: early !== undefined, ranMs: (at + 1) * 1_000, atMs: at };
      return heard(hearing, probes, question, heardOf);
    },
    firstHearing(probes, said.before),
  );
}

const ready = (answers: readonly Answer[]): readonly Told[] =>
  answers.map((it) => ["readiness", it] as const);
const startup = (answers: readonly Answer[]): readonly Told[] =>
  answers.map((it) => ["startup", it] as const);
const live = (answers: readonly Answer[]): readonly Told[] =>
  answers.map((it) => ["liveness", it] as const);

test("a container without a probe is started and ready when it runs", () => {
  expect(after([], {})).toMatchObject({ started: true, ready: true, kill: undefined });
});

test("one with nothing but a liveness probe is ready until it fails", () => {
  const liveness = probe({ failureThreshold: 1 });

  expect(after([], { liveness }).ready).toBe(true);
  expect(after(live([missing]), { liveness })).toMatchObject({ ready: false, kill: "liveness" });
});

test("the first good answer makes a container ready, also where one page answers both probes", () => {
  const readiness = probe();

  expect(after([], { readiness }).ready).toBe(false);
  expect(after(ready([refused, good]), { readiness }).ready).toBe(true);
  expect(after(startup([refused, good]), { startup: probe(), readiness }).ready).toBe(true);
});

test("a startup probe does not answer for a readiness probe that is to wait, or that wants more", () => {
  const patient = probe({ initialDelaySeconds: 5 });
  const thorough = probe({ successThreshold: 2 });

  expect(after(startup([good]), { startup: probe(), readiness: patient })).toMatchObject({
    started: true,
    ready: false,
  });
  expect(after(startup([good]), { startup: probe(), readiness: thorough }).ready).toBe(false);
});

test("until the startup probe has passed nothing else is asked, and nothing at all of one to be stopped", () => {
  const said = { startup: probe(), readiness: probe({ httpGet: { port: 1 } }), liveness: probe() };
  const probes = probesOf(said);

  expect(openQuestions(hearingAfter(startup([missing]), said), probes)).toEqual(["startup"]);
  const passed = hearingAfter(startup([good]), said);
  expect(passed.verdict).toMatchObject({ started: true, ready: false });
  expect(openQuestions(passed, probes)).toEqual(["readiness", "liveness"]);
  const killed = hearingAfter([...startup([good]), ...live([missing, missing, missing])], said);
  expect(openQuestions(killed, probes)).toEqual([]);
});

test("a ready container leaves the routes only after as many failures in a row as it allows", () => {
  const readiness = probe({ failureThreshold: 3 });
  const then = (...answers: Answer[]) => after(ready([good, ...answers]), { readiness }).ready;

  expect(then(missing, missing)).toBe(true);
  expect(then(missing, missing, missing)).toBe(false);
  expect(then(missing, missing, good, missing)).toBe(true);
});

test("one that left the routes comes back after as many good answers in a row as it asks for", () => {
  const readiness = probe({ failureThreshold: 1, successThreshold: 2 });
  const then = (...answers: Answer[]) => after(ready(answers), { readiness }).ready;

  expect(then(good)).toBe(false);
  expect(then(good, good)).toBe(true);
  expect(then(good, good, missing, good)).toBe(false);
  expect(then(good, good, missing, good, missing, good, good)).toBe(true);
});

test("a container that an earlier agent knew stays as it was until its probes say otherwise", () => {
  const said = { startup: probe(), readiness: probe(), before: { started: true, ready: true } };

  expect(after([], said)).toMatchObject({ started: true, ready: true });
  expect(after(ready([missing, missing]), said).ready).toBe(true);
  expect(after(ready([missing, missing, missing]), said).ready).toBe(false);
  expect(after([], { ...said, before: { started: true, ready: false } }).ready).toBe(false);
  expect(after([], { ...said, before: { started: false, ready: false } }).started).toBe(false);
});

test("a startup probe has failed when all its tries are over, and not before", () => {
  const said = { startup: probe({ periodSeconds: 2, failureThreshold: 2 }) };

  expect(after(startup([refused, refused, refused]), said).kill).toBeUndefined();
  expect(after(startup([refused, refused, refused, refused]), said).kill).toBe("startup");
});

test("one found long after its start still has all its tries", () => {
  const said = { startup: probe({ periodSeconds: 1, failureThreshold: 3 }) };
  const probes = probesOf(said);
  let hearing = firstHearing(probes, { started: false, ready: false });
  const question = { kind: "startup", early: false, ranMs: 900_000, atMs: 0 } as const;

  for (const expected of [undefined, undefined, "startup"]) {
    hearing = heard(hearing, probes, question, missing);
    expect(hearing.verdict.kill).toBe(expected);
  }
});

test("bad answers ahead of a probe's own pace count for nothing, and good ones do", () => {
  const said = { startup: probe({ failureThreshold: 1 }) };
  const early: readonly Told[] = [1, 2, 3].map(() => ["startup", refused, "early"] as const);

  expect(after(early, said)).toMatchObject({ kill: undefined, failures: [], sight: { times: 3 } });
  expect(after([...early, ["startup", good, "early"]], said).ready).toBe(true);
});

test("a runtime that fails is nobody's failure", () => {
  const said = { liveness: probe({ failureThreshold: 1 }), readiness: probe() };
  const readyOnce = ready([good]);

  expect(after([...readyOnce, ...live([unclear, unclear])], said).kill).toBeUndefined();
  expect(after([...readyOnce, ...ready([unclear, unclear, unclear])], said).ready).toBe(true);
});

test("answers of one kind are counted, and told with their status and first bytes", () => {
  const readiness = probe();

  expect(after(ready([refused, missing, missing, missing]), { readiness }).sight).toEqual({
    status: 404,
    times: 3,
    excerpt: "bad",
    latencyMs: 1,
  });
});

test("the last ten failures are told, oldest first, whatever came in between", () => {
  const said = { readiness: probe(), liveness: probe({ failureThreshold: 100 }) };
  const answers = Array.from({ length: 12 }, () => [...live([missing]), ...ready([good])]).flat();

  const { failures } = after(answers, said);

  expect(failures).toHaveLength(10);
  expect(failures[9]).toEqual({
    probe: "liveness",
    at: "1970-01-01T00:00:00.022Z",
    status: 404,
    excerpt: "bad",
    latencyMs: 1,
  });
});

test("a closed port is asked often until the container is ready, a page that answers or a command is not", () => {
  const slow = probe({ periodSeconds: 5 });
  const command = Probe.parse({ exec: { command: ["true"] } });
  const at = (ranMs: number, isReady = false) => ({ ready: isReady, ranMs });

  expect(earlyPauseMs(slow, refused, at(100))).toBe(50);
  expect(earlyPauseMs(slow, refused, at(40_000))).toBe(1_000);
  expect(earlyPauseMs(slow, missing, at(100))).toBeUndefined();
  expect(earlyPauseMs(slow, refused, at(100, true))).toBeUndefined();
  expect(earlyPauseMs(command, refused, at(100))).toBeUndefined();
});
