import { describe, expect, test } from "vitest";
import { NodeReport, PodStatus, type ProbeFailure } from "../../contract/node/protocol.ts";
import type { Setback } from "../../node-agent/plan/backoff.ts";
import { planNode } from "../../node-agent/plan/plan.ts";
import { failuresOf, transcriptsAfter } from "../../node-agent/probes/transcripts.ts";
import { fitting } from "../../node-agent/report/fitting.ts";
import {
  containerAtFault,
  podStatuses,
  type Sight,
  urgentPart,
} from "../../node-agent/report/report.ts";
import { usageBetween } from "../../node-agent/report/usage.ts";
import { cut, oneLine } from "../../node-agent/report/words.ts";
import { aContainer, aPodOf, aSandbox, aVerdict, aWorld, fp, uidOf } from "./a-world.ts";

const pod = aPodOf({ main: [{ name: "web", probes: ["readiness"] }] });
const answers = (ready: boolean, status: number) =>
  new Map([["c1", aVerdict({ ready, sight: { status, times: 3, latencyMs: 2, excerpt: "x" } })]]);

function statusOf(said: Partial<Sight> & { readonly of?: typeof pod } = {}) {
  const { of: told = pod, ...more } = said;
  const sight: Sight = {
    wanted: [{ pod: told, fingerprint: fp(told) }],
    leaving: true,
    seen: [aSandbox(told)],
    outcomes: new Map(),
    busy: new Set(),
    departing: new Set(),
    setbacks: new Map(),
    verdicts: answers(true, 200),
    failuresOf: () => [],
    usage: new Map(),
    unrouted: new Set(),
    nowMs: 2_500,
    ...more,
  };
  const pods = podStatuses(sight);
  NodeReport.shape.pods.parse(pods);
  const [status] = pods;
  if (!status) throw new Error("no status");
  return status;
}
const exited = (said: Parameters<typeof aContainer>[0]) => aContainer({ state: "exited", ...said });
const ended = (said: Parameters<typeof aContainer>[0]) =>
  statusOf({ seen: [aSandbox(pod, { containers: [exited(said)] })] });
const setback: Setback = {
  of: "start-pod",
  failures: 1,
  atMs: 0,
  reason: "ErrImagePull",
  message: "no such digest",
};

describe("a pod", () => {
  test("that answers and is routed to is ready, and says no more than that", () => {
    expect(statusOf()).toEqual({
      pod: uidOf(pod),
      name: pod.metadata.name,
      phase: "Running",
      ready: true,
      restarts: 0,
      ip: "10.0.0.2",
      containers: [
        {
          name: "web",
          kind: "main",
          state: "running",
          ready: true,
          restarts: 0,
          startedAt: "1970-01-01T00:00:01.000Z",
          probeFailures: [],
        },
      ],
      logTail: [],
    });
  });

  test("that nobody can reach through the ingress is not ready, whatever it answers", () => {
    expect(statusOf({ unrouted: new Set([uidOf(pod)]) })).toMatchObject({
      ready: false,
      reason: expect.stringContaining("ingress"),
    });
  });

  test("that is not there yet is pending", () => {
    expect(statusOf({ seen: [] })).toMatchObject({
      phase: "Pending",
      ready: false,
      containers: [{ state: "waiting", reason: "ContainerCreating" }],
    });
  });

  test("of an older spec, with a dead sandbox, or on its way out is not ready", () => {
    expect(statusOf({ seen: [aSandbox(pod, { fingerprint: "old" })] }).ready).toBe(false);
    expect(statusOf({ seen: [aSandbox(pod, { ready: false })] }).ready).toBe(false);
    expect(statusOf({ departing: new Set(["s1"]) }).ready).toBe(false);
    expect(statusOf({ departing: new Set(["an old one of it"]) }).ready).toBe(true);
  });

  test("that nobody wants is terminating, unless nobody has decided that", () => {
    const undecided = { wanted: [], leaving: false };

    expect(statusOf({ wanted: [] })).toMatchObject({ phase: "Terminating", ready: false });
    expect(statusOf(undecided)).toMatchObject({ phase: "Running", ready: false });
    expect(statusOf({ ...undecided, seen: [aSandbox(pod, { ready: false })] }).phase).toBe(
      "Pending",
    );
  });

  test("that is still being made is terminating once nobody wants it, though no list names it", () => {
    const busy = new Set([uidOf(pod)]);

    expect(statusOf({ wanted: [], seen: [], busy })).toMatchObject({
      pod: uidOf(pod),
      phase: "Terminating",
      ready: false,
    });
    expect(statusOf({ busy })).toEqual(statusOf());
  });

  test("keeps its restarts while its sandbox is made anew", () => {
    const containers = [exited({ restarts: 4 })];

    expect(statusOf({ seen: [aSandbox(pod, { ready: false, containers })] })).toMatchObject({
      phase: "Pending",
      restarts: 4,
      containers: [{ state: "waiting", reason: "ContainerCreating", restarts: 4 }],
    });
  });

  test("that has done its work is over once its sidecars have ended, too", () => {
    const job = aPodOf({
      policy: "Never",
      init: [{ name: "ship", sidecar: true }],
      main: [{ name: "job" }],
    });
    const sandbox = (state: "running" | "exited") =>
      aSandbox(job, {
        containers: [
          aContainer({ name: "job", state: "exited" }),
          aContainer({ name: "ship", kind: "sidecar", state }),
        ],
      });
    const [step] = planNode(aWorld([job], [sandbox("running")]));
    if (step?.do !== "end-pod") throw new Error("not over");
    const outcomes = new Map([[uidOf(job), step.outcome]]);

    expect(statusOf({ of: job, outcomes, seen: [sandbox("running")] })).toMatchObject({
      phase: "Running",
      ready: false,
    });
    expect(statusOf({ of: job, outcomes, seen: [sandbox("exited")] }).phase).toBe("Succeeded");
  });

  test("that is over is told from its outcome", () => {
    const job = aPodOf({ policy: "Never" });
    const sandbox = aSandbox(job, { containers: [exited({ exitCode: 3 })] });
    const [step] = planNode(aWorld([job], [sandbox]));
    if (step?.do !== "end-pod") throw new Error("not over");
    const outcomes = new Map([[uidOf(job), step.outcome]]);

    expect(statusOf({ of: job, outcomes, seen: [] })).toEqual(step.outcome.status);
    expect(statusOf({ of: job, outcomes, seen: [] })).toMatchObject({
      phase: "Failed",
      reason: 'container "web" ended with exit code 3 (Error)',
      containers: [{ exitCode: 3, reason: "Error", finishedAt: "1970-01-01T00:00:02.000Z" }],
    });
  });
});

describe("a container", () => {
  test.each([
    [{ exitCode: 1 }, "exited", "Error"],
    [{ exitCode: 0 }, "exited", "Completed"],
    [{ exitCode: 1, crashes: 2, restarts: 2 }, "waiting", "CrashLoopBackOff"],
    [{ exitCode: 137, reason: "OOMKilled" }, "exited", "OOMKilled"],
    [{ exitCode: 137, reason: "OOMKilled", crashes: 2 }, "exited", "OOMKilled"],
    [{ exitCode: 0, reason: "OOMKilled" }, "exited", "Completed"],
  ])("that ended as %j is %s: %s", (said, state, reason) => {
    expect(ended(said).containers[0]).toMatchObject({ state, reason, exitCode: said.exitCode });
  });

  test.each([
    [137, 9],
    [143, 15],
    [1, undefined],
    [255, undefined],
  ])("that ended with %i tells the signal %s", (exitCode, signal) => {
    expect(ended({ exitCode }).containers[0]?.signal).toBe(signal);
  });

  test("that the runtime does not tell about is not said to be in the making", () => {
    const lost = { ...exited({}), detail: undefined };

    expect(
      statusOf({ seen: [aSandbox(pod, { unclear: true, containers: [lost] })] }),
    ).toMatchObject({ containers: [{ state: "waiting", reason: "ContainerStatusUnknown" }] });
  });

  test("that could not be started is told with Kubernetes' word and the cause", () => {
    const setbacks = new Map([[uidOf(pod), setback]]);

    expect(statusOf({ seen: [], setbacks })).toMatchObject({
      reason: "no such digest",
      containers: [{ state: "waiting", reason: "ErrImagePull", message: "no such digest" }],
    });
    expect(statusOf({ setbacks }).containers).toMatchObject([{ state: "running" }]);
  });

  test("tells what it takes, and what its probes heard", () => {
    const usage = new Map([["c1", { cpuMillis: 5, memoryBytes: 4_096 }]]);
    const failure = aFailure("503");

    expect(statusOf({ usage, failuresOf: () => [failure] }).containers[0]).toMatchObject({
      usage: { cpuMillis: 5, memoryBytes: 4_096 },
      probeFailures: [failure],
    });
  });
});

describe("a pod of many containers", () => {
  const many = aPodOf({
    policy: "OnFailure",
    init: [{ name: "fetch" }, { name: "proxy", sidecar: true, probes: ["readiness"] }],
    main: [{ name: "web" }, { name: "job" }],
  });
  const fetched = exited({ name: "fetch", kind: "init" });
  const proxy = aContainer({ name: "proxy", kind: "sidecar" });
  const [web, job] = [aContainer({ name: "web" }), aContainer({ name: "job" })];
  const up = new Map([["proxy-0", aVerdict()]]);
  const told = (containers: readonly ReturnType<typeof aContainer>[], said: Partial<Sight> = {}) =>
    statusOf({ of: many, seen: [aSandbox(many, { containers })], verdicts: up, ...said });

  test("is pending until its main containers have started, and says who waits for whom", () => {
    expect(told([aContainer({ name: "fetch" })])).toMatchObject({
      phase: "Pending",
      containers: [
        { name: "fetch", kind: "init", state: "running", ready: false },
        { name: "proxy", kind: "sidecar", state: "waiting", reason: "PodInitializing" },
        { name: "web", kind: "main", state: "waiting", reason: "PodInitializing" },
        { name: "job", state: "waiting", reason: "PodInitializing" },
      ],
    });
  });

  test("blames the container that could not start, and not those behind it", () => {
    const setbacks = new Map([[uidOf(many), setback]]);

    expect(told([fetched], { setbacks }).containers).toMatchObject([
      { name: "fetch", state: "exited", ready: true, reason: "Completed", exitCode: 0 },
      { name: "proxy", state: "waiting", reason: "ErrImagePull" },
      { name: "web", state: "waiting", reason: "PodInitializing" },
      { name: "job", state: "waiting", reason: "PodInitializing" },
    ]);
  });

  test("is ready while all that works is, and what is done is no hindrance", () => {
    const done = exited({ name: "job", exitCode: 0 });

    expect(told([fetched, proxy, web, job]).ready).toBe(true);
    expect(told([fetched, proxy, web, done]).ready).toBe(true);
    expect(told([fetched, proxy, web, job], { verdicts: new Map() }).ready).toBe(false);
    expect(told([fetched, web, job]).ready).toBe(false);
    expect(told([fetched, proxy, web, exited({ name: "job", exitCode: 1 })]).ready).toBe(false);
  });
});

describe("the container at fault", () => {
  test("is the one that ended badly, else the one that answers badly", () => {
    expect(containerAtFault(statusOf({ verdicts: answers(false, 404) }))).toBe("web");
    expect(containerAtFault(ended({ exitCode: 1 }))).toBe("web");
    expect(containerAtFault(statusOf())).toBeUndefined();
  });

  test("is not the init container that ended well", () => {
    const two = aPodOf({ init: [{ name: "fetch" }], main: [{ name: "web" }, { name: "admin" }] });
    const containers = [
      exited({ name: "fetch" }),
      aContainer({ name: "web" }),
      exited({ name: "admin", exitCode: 2 }),
    ];

    expect(containerAtFault(statusOf({ of: two, seen: [aSandbox(two, { containers })] }))).toBe(
      "admin",
    );
  });
});

test("another count of the same answer is not urgent, nor is usage; another answer is", () => {
  const sick = (status: number, times: number, cpuMillis = 1) => {
    const usage = new Map([["c1", { cpuMillis, memoryBytes: 1 }]]);
    const found = statusOf({ verdicts: answers(false, status), usage });
    return urgentPart([{ ...found, probe: { status, times } }]);
  };

  expect(sick(404, 3)).toBe(sick(404, 4, 900));
  expect(sick(404, 3)).not.toBe(sick(500, 3));
});

test("usage is what was taken between two looks", () => {
  const second = 1e9;
  const before = new Map([
    ["a", { cpuNanos: 0, atNs: 0, memoryBytes: 1 }],
    ["reset", { cpuNanos: 9, atNs: 0, memoryBytes: 1 }],
  ]);
  const after = new Map([
    ["a", { cpuNanos: 0.25 * second, atNs: 2 * second, memoryBytes: 7 }],
    ["reset", { cpuNanos: 1, atNs: second, memoryBytes: 7 }],
    ["new", { cpuNanos: 1, atNs: second, memoryBytes: 7 }],
  ]);

  expect(usageBetween(before, after)).toEqual(new Map([["a", { cpuMillis: 125, memoryBytes: 7 }]]));
  expect(usageBetween(after, after)).toEqual(new Map());
});

test("what a probe heard before it ended a container is still told of its next start", () => {
  const seen = (id: string) => [aSandbox(pod, { containers: [aContainer({ id })] })];
  const heard = (id: string, ...failures: ProbeFailure[]) =>
    new Map([[id, aVerdict({ failures })]]);
  const words = (transcripts: ReturnType<typeof transcriptsAfter>) =>
    failuresOf(transcripts, uidOf(pod), "web").map((it) => it.excerpt);

  const first = transcriptsAfter(new Map(), seen("c1"), heard("c1", aFailure("a"), aFailure("b")));
  const again = transcriptsAfter(first, seen("c2"), heard("c2"));
  const more = transcriptsAfter(again, seen("c2"), heard("c2", aFailure("c")));

  expect(words(again)).toEqual(["a", "b"]);
  expect(words(transcriptsAfter(more, seen("c2"), heard("c2", aFailure("c"))))).toEqual([
    "a",
    "b",
    "c",
  ]);
  expect(words(transcriptsAfter(more, [], new Map()))).toEqual([]);
});

test("a status that no report takes is told by its bones, and stops no other", () => {
  const status = statusOf();
  const [web] = status.containers;
  if (!web) throw new Error("no container");

  const fitted = fitting({ ...status, containers: [{ ...web, message: "x".repeat(2_001) }] });

  expect(fitting(status)).toEqual({ status });
  expect(fitted.misfit).toContain("containers[0].message");
  expect(PodStatus.parse(fitted.status)).toMatchObject({ pod: status.pod, ready: true });
});

test("words are cut to what is kept of them, and no character in halves", () => {
  expect(cut("ab🦀", 3)).toBe("ab");
  expect(cut("ab🦀", 4)).toBe("ab🦀");
  expect(cut("\0a\ud83eb", 10)).toBe("a\ufffdb");
  expect(oneLine(`  no\n\u001b[31mrows${"🦀".repeat(200)}`, 12)).toBe("no [31mrows");
});

function aFailure(excerpt: string): ProbeFailure {
  return { probe: "liveness", at: "2026-01-01T00:00:00.000Z", latencyMs: 1, excerpt };
}
