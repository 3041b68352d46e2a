import { describe, expect, test } from "vitest";
import type { Setback } from "../../node-agent/plan/backoff.ts";
import { planNode, type World } from "../../node-agent/plan/plan.ts";
import { aContainer, aPodOf, aSandbox, aVerdict, aWorld, fp, LATE_MS, uidOf } from "./a-world.ts";

/** Each step in a few words, with the names of the containers that it starts. */
const doing = (world: World) =>
  planNode(world).map((step) => {
    if (step.do === "start-pod")
      return `start ${step.starts.map((it) => it.container.name).join("+")}`;
    return "because" in step ? `${step.do} ${step.because}` : step.do;
  });
const exited = (name: string, exitCode = 0, said: Parameters<typeof aContainer>[0] = {}) =>
  aContainer({ name, state: "exited", exitCode, ...said });
const running = (name: string) => aContainer({ name });

describe("a pod", () => {
  const pod = aPodOf({});

  test("that is wished for is started, and left alone once it runs", () => {
    expect(doing(aWorld([pod], []))).toEqual(["start web"]);
    expect(doing(aWorld([pod], [aSandbox(pod)]))).toEqual([]);
  });

  test("whose labels changed is left alone, and one whose env changed makes room first", () => {
    const uid = uidOf(pod);
    const sandboxes = [aSandbox(pod)];

    expect(doing(aWorld([aPodOf({ uid, labels: { team: "a" } })], sandboxes))).toEqual([]);
    expect(
      doing(aWorld([aPodOf({ uid, main: [{ name: "web", env: "new" }] })], sandboxes)),
    ).toEqual(["remove-sandboxes changed"]);
  });

  test("that nobody wishes for leaves whole", () => {
    const sandbox = aSandbox(pod);

    expect(planNode(aWorld([], [sandbox]))).toEqual([
      {
        do: "remove-sandboxes",
        uid: sandbox.pod,
        sandboxes: [sandbox],
        whole: true,
        because: "unwanted",
      },
    ]);
  });

  test("stays while the wish is only what was found here, and what crashed in it starts again", () => {
    const other = aSandbox(aPodOf({}), { id: "s2", containers: [exited("web")] });
    const seen = [aSandbox(pod, { containers: [exited("web", 1)] }), other];

    expect(doing(aWorld([pod], seen, { leaving: false }))).toEqual(["start web"]);
    const another = aSandbox(pod, { id: "s3", fingerprint: "another" });
    expect(doing(aWorld([pod], [...seen, another], { leaving: false }))).toEqual([]);
  });

  test("that the runtime does not tell all about is left as it is, and no other, unless it is to leave", () => {
    const other = aPodOf({});
    const unclear = { unclear: true, containers: [exited("web")] };

    expect(doing(aWorld([pod, other], [aSandbox(pod, unclear)]))).toEqual(["start web"]);
    expect(doing(aWorld([], [aSandbox(pod, unclear)], { leaving: false }))).toEqual([]);
    expect(doing(aWorld([], [aSandbox(pod, unclear)]))).toEqual(["remove-sandboxes unwanted"]);
  });

  test("under way is not given a second step", () => {
    expect(planNode(aWorld([pod], [], { busy: new Set([uidOf(pod)]) }))).toEqual([]);
  });

  test("with two sandboxes keeps the newer one", () => {
    const surplus = aSandbox(pod, { id: "s0", createdAtMs: 0 });

    expect(planNode(aWorld([pod], [aSandbox(pod), surplus]))).toMatchObject([
      { do: "remove-sandboxes", sandboxes: [{ id: "s0" }], whole: false, because: "surplus" },
    ]);
  });
});

describe("a container", () => {
  const pod = aPodOf({});
  const planned = (...containers: Parameters<typeof aContainer>) =>
    planNode(aWorld([pod], [aSandbox(pod, { containers: containers.map(aContainer) })]));

  test("that was made and never started is started, not made again", () => {
    const made = { id: "made", state: "created", attempt: 2, restarts: 5, crashes: 1 } as const;

    expect(planned(made)).toMatchObject([
      { do: "start-pod", sandbox: "s1", starts: [{ existing: { id: "made" }, attempt: 2 }] },
    ]);
  });

  test("that was never made comes into the sandbox that is there", () => {
    expect(planNode(aWorld([pod], [aSandbox(pod, { containers: [] })]))).toMatchObject([
      { do: "start-pod", sandbox: "s1", starts: [{ existing: undefined, attempt: 0 }] },
    ]);
  });

  test.each([
    [0, 1_000],
    [1, 2_000],
    [4, 16_000],
    [20, 300_000],
  ])("after %i crashes in a row is started again %i ms later", (crashes, waitMs) => {
    const ended = exited("web", 1, { crashes, ranMs: 100, endedAtMs: 50_000 });
    const sandbox = aSandbox(pod, { containers: [ended] });
    const at = (nowMs: number) => planNode(aWorld([pod], [sandbox], { nowMs }));

    expect(at(50_000 + waitMs - 1)).toEqual([]);
    expect(at(50_000 + waitMs)).toMatchObject([
      { do: "start-pod", starts: [{ attempt: 1, restarts: 1, crashes: crashes + 1 }] },
    ]);
  });

  test("is not kept waiting by a clock that was set back", () => {
    const ended = exited("web", 1, { crashes: 2, endedAtMs: 50_000_000 });

    expect(doing(aWorld([pod], [aSandbox(pod, { containers: [ended] })]))).toEqual(["start web"]);
    const dead = aSandbox(pod, { ready: false, containers: [ended] });
    expect(doing(aWorld([pod], [dead]))).toEqual(["start web"]);
  });

  test("makes up for every crash by ten healthy minutes", () => {
    const ended = exited("web", 1, { crashes: 9, ranMs: 600_000, endedAtMs: 1_000_000 });
    const sandbox = aSandbox(pod, { containers: [ended] });

    expect(planNode(aWorld([pod], [sandbox], { nowMs: 1_001_000 }))).toMatchObject([
      { do: "start-pod", starts: [{ crashes: 1 }] },
    ]);
  });

  test.each(["startup", "liveness"] as const)(
    "whose %s probe has used up its tries is ended with grace",
    (kill) => {
      const verdicts = new Map([["c1", aVerdict({ kill })]]);

      expect(planNode(aWorld([pod], [aSandbox(pod)], { verdicts }))).toMatchObject([
        {
          do: "stop-container",
          container: "c1",
          name: "web",
          ip: "10.0.0.2",
          graceSeconds: 9,
          because: `${kill}-probe-failed`,
        },
      ]);
    },
  );

  test("that the runtime lost is ended before it is started again", () => {
    expect(planned({ state: "unknown" })).toMatchObject([
      { do: "stop-container", because: "state-unknown" },
    ]);
  });

  test("keeps the words of its last end, and not those before it", () => {
    const starts = [3, 2, 1, 0].map((attempt) => ({
      id: `c${attempt}`,
      attempt,
      state: attempt === 3 ? ("running" as const) : ("exited" as const),
    }));
    const containers = starts.map(aContainer);

    expect(planNode(aWorld([pod], [aSandbox(pod, { containers })]))).toEqual([
      { do: "remove-containers", uid: uidOf(pod), containers: ["c1", "c0"] },
    ]);
  });
});

describe("containers start in order:", () => {
  const pod = aPodOf({
    init: [
      { name: "fetch" },
      { name: "proxy", sidecar: true, probes: ["readiness"] },
      { name: "migrate" },
      { name: "logs", sidecar: true },
    ],
    main: [{ name: "web" }, { name: "admin" }],
  });
  const next = (containers: readonly ReturnType<typeof aContainer>[], said: Partial<World> = {}) =>
    doing(aWorld([pod], [aSandbox(pod, { containers })], said));
  const proxyIs = (ready: boolean) => ({
    verdicts: new Map([["proxy-0", aVerdict({ ready })]]),
  });
  const up = proxyIs(true);

  test("init containers one after the other, each to its good end", () => {
    expect(doing(aWorld([pod], []))).toEqual(["start fetch"]);
    expect(next([running("fetch")])).toEqual([]);
    expect(next([exited("fetch", 1)])).toEqual(["start fetch"]);
    expect(next([exited("fetch")])).toEqual(["start proxy"]);
  });

  test("a sidecar is waited for until it is ready", () => {
    const seen = [exited("fetch"), running("proxy")];

    expect(next(seen)).toEqual([]);
    expect(next(seen, proxyIs(false))).toEqual([]);
    expect(next(seen, up)).toEqual(["start migrate"]);
  });

  test("a sidecar that no probe asks about holds nothing up, and the main ones start together", () => {
    const seen = [exited("fetch"), running("proxy"), exited("migrate")];

    expect(next(seen, up)).toEqual(["start logs+web+admin"]);
    expect(next([...seen, running("logs"), running("web")], up)).toEqual(["start admin"]);
  });

  test("a sidecar that ended is started again, while init containers run and while main ones do", () => {
    const late = [exited("fetch"), exited("proxy"), running("migrate")];
    const begun = [exited("fetch"), exited("migrate"), running("web"), running("admin")];

    expect(next(late)).toEqual(["start proxy"]);
    expect(next([...begun, exited("proxy", 3), running("logs")])).toEqual(["start proxy"]);
  });

  test("what comes after a sidecar that is down does not start", () => {
    const seen = [exited("fetch"), exited("proxy", 1, { crashes: 9, endedAtMs: LATE_MS })];

    expect(next(seen, up)).toEqual([]);
    expect(next([...seen, exited("migrate", 1)], up)).toEqual([]);
  });

  test("init containers do not run again when a main one does", () => {
    const seen = [exited("fetch"), running("proxy"), exited("migrate"), running("logs")];

    expect(next([...seen, exited("web", 1), running("admin")], up)).toEqual(["start web"]);
    expect(next([...seen.slice(1), exited("web", 1), running("admin")], up)).toEqual(["start web"]);
  });
});

describe("a container with a postStart hook", () => {
  const pod = aPodOf({ main: [{ name: "web", hook: true }, { name: "next" }] });
  const at = (postStarted: boolean) => {
    const containers = [aContainer({ name: "web", attempt: 3, postStarted }), running("next")];
    return planNode(aWorld([pod], [aSandbox(pod, { containers })]));
  };

  test("of which nobody knows whether it has returned is not made anew: its hook is run", () => {
    const existing = { id: "web-3", runs: true };

    expect(at(false)).toMatchObject([
      { do: "start-pod", sandbox: "s1", starts: [{ existing, attempt: 3 }] },
    ]);
    expect(at(true)).toEqual([]);
  });

  test("holds up what comes after a sidecar until it has returned", () => {
    const team = aPodOf({
      init: [{ name: "proxy", sidecar: true, hook: true, probes: ["readiness"] }],
    });
    const verdicts = new Map([["proxy-0", aVerdict()]]);
    const next = (postStarted: boolean) => {
      const containers = [aContainer({ name: "proxy", kind: "sidecar", postStarted })];
      return doing(aWorld([team], [aSandbox(team, { containers })], { verdicts }));
    };

    expect(next(false)).toEqual(["start proxy"]);
    expect(next(true)).toEqual(["start web"]);
  });
});

describe("a pod ends by its restart policy:", () => {
  const job = (policy: "OnFailure" | "Never", init: string[] = []) =>
    aPodOf({ policy, init: init.map((name) => ({ name })), main: [{ name: "a" }, { name: "b" }] });
  const next = (pod: ReturnType<typeof job>, ...containers: ReturnType<typeof aContainer>[]) =>
    planNode(aWorld([pod], [aSandbox(pod, { containers })]));

  test("it has succeeded when all of its containers have", () => {
    for (const pod of [job("OnFailure"), job("Never")]) {
      expect(next(pod, exited("a"), running("b"))).toEqual([]);
      expect(next(pod, exited("a"), exited("b"))).toMatchObject([
        {
          do: "end-pod",
          sandboxes: [{ id: "s1" }],
          outcome: {
            fingerprint: fp(pod),
            status: {
              phase: "Succeeded",
              ready: false,
              containers: [
                { name: "a", state: "exited", exitCode: 0, reason: "Completed" },
                { name: "b", state: "exited", exitCode: 0, reason: "Completed" },
              ],
            },
          },
        },
      ]);
    }
  });

  test("a failure is tried again OnFailure, and final with Never", () => {
    const bad = [exited("a"), exited("b", 137, { reason: "OOMKilled", attempt: 0 })] as const;

    expect(next(job("OnFailure"), ...bad)).toMatchObject([
      { do: "start-pod", starts: [{ container: { name: "b" }, attempt: 1 }] },
    ]);
    expect(next(job("Never"), ...bad)).toMatchObject([
      {
        do: "end-pod",
        outcome: {
          fault: { container: "b", attempt: 0 },
          status: {
            phase: "Failed",
            reason: 'container "b" ended with exit code 137 (OOMKilled)',
            containers: [{ exitCode: 0 }, { exitCode: 137, signal: 9, reason: "OOMKilled" }],
          },
        },
      },
    ]);
  });

  test("an init container that failed fails the pod with Never, and only then", () => {
    expect(next(job("Never", ["fetch"]), exited("fetch", 2))).toMatchObject([
      { do: "end-pod", outcome: { fault: { container: "fetch" }, status: { phase: "Failed" } } },
    ]);
    expect(next(job("OnFailure", ["fetch"]), exited("fetch", 2))).toMatchObject([
      { do: "start-pod", starts: [{ container: { name: "fetch" }, restarts: 1 }] },
    ]);
  });

  test("a hook that failed is told with the end that it led to", () => {
    const pod = job("Never");
    const setback: Setback = {
      of: "start-pod",
      failures: 1,
      atMs: 0,
      reason: "FailedPostStartHook",
      message: "no such file",
    };
    const sandbox = aSandbox(pod, { containers: [exited("a", 137), exited("b")] });
    const setbacks = new Map([[uidOf(pod), setback]]);

    expect(planNode(aWorld([pod], [sandbox], { setbacks }))).toMatchObject([
      {
        outcome: { status: { reason: expect.stringMatching(/"a".*FailedPostStartHook: no such/) } },
      },
    ]);
  });

  test("sidecars do not keep it alive", () => {
    const pod = aPodOf({
      policy: "Never",
      init: [{ name: "logs", sidecar: true }],
      main: [{ name: "a" }],
    });

    expect(next(pod, running("logs"), exited("a"))).toMatchObject([
      { do: "end-pod", outcome: { status: { phase: "Succeeded" } } },
    ]);
    expect(next(pod, exited("logs", 1), running("a"))).toMatchObject([
      { do: "start-pod", starts: [{ container: { name: "logs" } }] },
    ]);
  });

  test("one that is over is never run again, whatever became of its sandbox", () => {
    const pod = job("Never");
    const [ended] = next(pod, exited("a"), exited("b"));
    if (ended?.do !== "end-pod") throw new Error("not over");
    const outcomes = new Map([[uidOf(pod), ended.outcome]]);
    const gone = aSandbox(pod, { ready: false, containers: [exited("a", 255)] });

    expect(planNode(aWorld([pod], [], { outcomes }))).toEqual([]);
    expect(planNode(aWorld([pod], [gone], { outcomes }))).toEqual([
      { ...ended, sandboxes: [gone] },
    ]);
    const other = aPodOf({ uid: uidOf(pod), policy: "Never" });
    expect(doing(aWorld([other], [], { outcomes }))).toEqual(["start web"]);
  });
});

describe("a sandbox that died", () => {
  const pod = aPodOf({ policy: "Never", init: [{ name: "fetch" }] });
  const died = (said: Parameters<typeof aSandbox>[1] = {}) =>
    aSandbox(pod, {
      id: "dead",
      ready: false,
      attempt: 4,
      createdAtMs: 1_000,
      containers: [
        exited("fetch", 0, { attempt: 2, restarts: 1 }),
        exited("web", 255, { reason: "Unknown", attempt: 6, restarts: 5, endedAtMs: 50_000 }),
      ],
      ...said,
    });
  const at = (nowMs: number, ...seen: ReturnType<typeof aSandbox>[]) =>
    planNode(aWorld([pod], seen, { nowMs }));

  test("gives way to a new one, from the first init container on, whatever the policy", () => {
    const dead = died();

    expect(at(LATE_MS, dead)).toMatchObject([
      {
        do: "start-pod",
        sandbox: undefined,
        attempt: 5,
        deaths: 1,
        dead: [dead],
        starts: [{ container: { name: "fetch" }, attempt: 3, restarts: 2 }],
      },
    ]);
  });

  test("is the end of a pod that had done its work, whoever wrote that down", () => {
    const done = died({ containers: [exited("fetch"), exited("web", 3)] });
    const killed = (exitCode: number, reason: string) =>
      died({ containers: [exited("fetch"), exited("web", exitCode, { reason })] });

    expect(at(LATE_MS, done)).toMatchObject([
      { do: "end-pod", sandboxes: [done], outcome: { status: { phase: "Failed" } } },
    ]);
    expect(at(LATE_MS, killed(137, "OOMKilled"))).toMatchObject([{ do: "end-pod" }]);
    for (const dead of [killed(137, "Error"), killed(143, "Error"), killed(255, "Unknown")])
      expect(at(LATE_MS, dead)).toMatchObject([{ do: "start-pod" }]);
  });

  test("is asked for no end once the agent has begun to end what ran in it", () => {
    const containers = [exited("fetch"), exited("web", 0, { attempt: 6 })];

    expect(at(LATE_MS, died({ containers, givenUp: true }))).toMatchObject([{ do: "start-pod" }]);
  });

  test("stays until its counts stand in the new one", () => {
    const fresh = (containers: ReturnType<typeof aContainer>[]) =>
      aSandbox(pod, { id: "fresh", attempt: 5, createdAtMs: 60_000, containers });
    const again = exited("fetch", 0, { attempt: 3 });

    expect(at(LATE_MS, fresh([again]), died())).toMatchObject([
      { do: "start-pod", sandbox: "fresh", starts: [{ attempt: 7, restarts: 6, crashes: 0 }] },
    ]);
    expect(at(LATE_MS, fresh([again, running("web")]), died())).toMatchObject([
      { do: "remove-sandboxes", sandboxes: [{ id: "dead" }], whole: false, because: "dead" },
    ]);
  });

  test("again and again is renewed later and later, until one has lived for ten minutes", () => {
    const often = died({ deaths: 4 });

    expect(at(50_000 + 15_999, often)).toEqual([]);
    expect(at(50_000 + 16_000, often)).toMatchObject([{ deaths: 5 }]);
    expect(at(LATE_MS, died({ deaths: 4, createdAtMs: 50_000 - 600_000 }))).toMatchObject([
      { deaths: 1 },
    ]);
  });
});

describe("a step that failed", () => {
  const pod = aPodOf({});
  const setback = (failures: number, of: Setback["of"] = "start-pod"): Setback => ({
    of,
    failures,
    atMs: 0,
    reason: "ErrImagePull",
    message: "",
  });
  const at = (nowMs: number, said: Setback) =>
    planNode(aWorld([pod], [], { setbacks: new Map([[uidOf(pod), said]]), nowMs }));

  test("is tried again, later and later", () => {
    expect(at(499, setback(1))).toEqual([]);
    expect(at(500, setback(1))).toHaveLength(1);
    expect(at(1_999, setback(3))).toEqual([]);
    expect(at(30_000, setback(30))).toHaveLength(1);
    expect(at(-60_000, setback(3)), "the clock was set back").toHaveLength(1);
  });

  test("holds up no other step of its pod", () => {
    const setbacks = new Map([[uidOf(pod), setback(9)]]);

    expect(doing(aWorld([], [aSandbox(pod)], { setbacks, nowMs: 1 }))).toEqual([
      "remove-sandboxes unwanted",
    ]);
  });
});
