import { describe, expect, test } from "vitest";
import { DesiredState } from "../../contract/node/protocol.ts";
import type { Pod } from "../../contract/pod/pod.ts";
import { ingressRoutes, stayingPods, unroutedPods } from "../../node-agent/ingress/routing.ts";
import { planNode } from "../../node-agent/plan/plan.ts";
import { nextLookAtMs } from "../../node-agent/plan/plan-look.ts";
import { wishOf } from "../../node-agent/plan/wish.ts";
import { probeTargets } from "../../node-agent/probes/targets.ts";
import { aRoute } from "../support/pods.ts";
import { aContainer, aPodOf, aSandbox, aVerdict, aWorld, fp, uidOf } from "./a-world.ts";

const NODE = "00000000-0000-4000-8000-00000000000f";
const aWish = (generation: number, pods: readonly Pod[] = []) =>
  DesiredState.parse({ node: NODE, generation, pods, routes: [] });

describe("what is wished for", () => {
  const pod = aPodOf({});
  const crashed = aSandbox(pod, { containers: [aContainer({ state: "exited" })] });
  const stray = aSandbox(aPodOf({}), { id: "s2", spec: undefined });
  const planOf = (desired: DesiredState | undefined) => {
    const wish = wishOf(desired, [crashed, stray], fp);
    return planNode(aWorld([], [crashed, stray], wish)).map((it) => [it.do, it.uid]);
  };

  test("is what was decided, and all else leaves", () => {
    expect(planOf(aWish(3, [pod]))).toEqual([
      ["remove-sandboxes", stray.pod],
      ["start-pod", uidOf(pod)],
    ]);
    expect(planOf(aWish(3))).toHaveLength(2);
  });

  test.each([
    ["the ledger cannot be read", undefined],
    ["the control plane has lost its memory", aWish(0)],
  ])("is what is here while %s: it goes on, and nothing leaves", (_, desired) => {
    expect(planOf(desired)).toEqual([["start-pod", uidOf(pod)]]);
  });

  test("is never another pod's spec that lies on a sandbox, nor asks to change what is there", () => {
    const older = aSandbox(pod, { fingerprint: "made by an older agent" });
    const wrong = aSandbox(aPodOf({}), { spec: pod });

    expect(wishOf(undefined, [older], fp).wanted).toEqual([
      { pod, fingerprint: "made by an older agent" },
    ]);
    expect(wishOf(undefined, [wrong], fp).wanted).toEqual([]);
  });
});

describe("requests go", () => {
  const pod = aPodOf({
    policy: "OnFailure",
    init: [{ name: "proxy", sidecar: true, probes: ["readiness"] }],
    main: [{ name: "web" }, { name: "job" }],
  });
  const proxy = aContainer({ name: "proxy", kind: "sidecar" });
  const web = aContainer({ name: "web" });
  const done = aContainer({ name: "job", state: "exited" });
  const up = new Map([["proxy-0", aVerdict()]]);
  const upstreams = (
    containers: readonly ReturnType<typeof aContainer>[],
    verdicts = up,
    departing: readonly string[] = [],
  ) => {
    const seen = [aSandbox(pod, { containers })];
    const pods = stayingPods([{ pod, fingerprint: fp(pod) }], seen, new Set(departing));
    const routes = [{ ...aRoute([pod]), port: 80 }];
    return ingressRoutes({ routes, pods, verdicts }).flatMap((it) => it.upstreams);
  };

  test("to a pod that is ready, done containers aside", () => {
    expect(upstreams([proxy, web, done])).toEqual(["10.0.0.2:80"]);
  });

  test("to none that is not, or is on its way out, or has nothing left to do", () => {
    expect(upstreams([proxy, web, done], new Map())).toEqual([]);
    expect(upstreams([web, done])).toEqual([]);
    expect(upstreams([proxy, web, done], up, ["s1"])).toEqual([]);
    expect(upstreams([proxy, aContainer({ name: "web", state: "exited" }), done])).toEqual([]);
  });

  test("to none that is still being started: its postStart hook has not returned", () => {
    const late = aPodOf({ main: [{ name: "web", hook: true }] });
    const upstreamsOf = (postStarted: boolean) => {
      const sandbox = aSandbox(late, { containers: [aContainer({ name: "web", postStarted })] });
      const pods = new Map([[uidOf(late), { pod: late, sandbox }]]);
      const routes = [{ ...aRoute([late]), port: 80 }];
      expect(probeTargets({ pod: late, sandbox }, 0)).toHaveLength(postStarted ? 1 : 0);
      return ingressRoutes({ routes, pods, verdicts: new Map() })[0]?.upstreams;
    };

    expect(upstreamsOf(false)).toEqual([]);
    expect(upstreamsOf(true)).toEqual(["10.0.0.2:80"]);
  });

  test("and who waits for them is known by what the ingress has", () => {
    const routes = [{ ...aRoute([pod]), port: 80 }];
    const pods = stayingPods([{ pod, fingerprint: fp(pod) }], [aSandbox(pod)], new Set());

    expect([...unroutedPods(routes, pods, new Set())]).toEqual([uidOf(pod)]);
    expect([...unroutedPods(routes, pods, new Set(["10.0.0.2:80"]))]).toEqual([]);
  });
});

test("probes ask sidecars and main containers that run, and no others", () => {
  const pod = aPodOf({
    init: [{ name: "fetch" }, { name: "proxy", sidecar: true, probes: ["liveness"] }],
    main: [{ name: "web", probes: ["startup", "readiness"] }, { name: "job" }],
  });
  const containers = [
    aContainer({ name: "fetch", kind: "init" }),
    aContainer({ name: "proxy", kind: "sidecar" }),
    aContainer({ name: "web" }),
    aContainer({ name: "job", state: "exited" }),
  ];
  const targets = probeTargets({ pod, sandbox: aSandbox(pod, { containers }) }, 1_000);

  expect(targets).toMatchObject([
    { container: "proxy-0", ip: "10.0.0.2", foundRunning: false },
    { container: "web-0", probes: { startup: {}, readiness: {}, liveness: undefined } },
  ]);
  expect(probeTargets({ pod, sandbox: aSandbox(pod, { ip: undefined, containers }) }, 0)).toEqual(
    [],
  );
});

describe("the next look", () => {
  const now = 100_000;
  const lookAfter = (pod: Pod, container: Parameters<typeof aContainer>[0]) =>
    (nextLookAtMs(
      aWorld([pod], [aSandbox(pod, { containers: [aContainer(container)] })], { nowMs: now }),
    ) ?? Number.POSITIVE_INFINITY) - now;
  const since = (ms: number) => ({ endedAtMs: now - ms + 1_000, ranMs: 1_000 });

  test("comes soon while a container is to come to its end, and later the longer it takes", () => {
    const job = aPodOf({ policy: "Never" });

    expect(lookAfter(job, since(0))).toBe(50);
    expect(lookAfter(job, since(5_000))).toBe(500);
    expect(lookAfter(aPodOf({ init: [{ name: "web" }] }), since(60_000))).toBe(6_000);
  });

  test("comes when a pause is over, and of itself where nothing is known to come", () => {
    const ended = { state: "exited", endedAtMs: now - 200 } as const;

    expect(lookAfter(aPodOf({}), ended)).toBe(800);
    expect(lookAfter(aPodOf({}), since(0))).toBe(Number.POSITIVE_INFINITY);
  });
});
