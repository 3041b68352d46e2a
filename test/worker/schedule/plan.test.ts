import { expect, test } from "vitest";
import { planApp } from "../../../worker/schedule/plan.ts";
import type { World } from "../../../worker/schedule/world.ts";
import { aNode, aPod, aRelease, aWorld, demands } from "./world.ts";

const kinds = (world: World) => planApp(world).map((change) => change.kind);

test("a built release is rolled out with as many pods as it asks for", () => {
  const release = aRelease({ replicas: 2 });

  expect(kinds(aWorld({ releases: [release] }))).toEqual(["roll", "place", "place"]);
});

test("the old pod leaves only once the new one is ready, and the release is live then", () => {
  const node = aNode();
  const [old, fresh] = [
    aRelease({ number: 1, phase: "live" }),
    aRelease({ number: 2, phase: "rolling" }),
  ];
  const oldPod = aPod(old, node, { ready: true });
  const rolling = aWorld({
    releases: [old, fresh],
    nodes: [node],
    pods: [oldPod, aPod(fresh, node)],
  });
  const ready = { ...rolling, pods: [oldPod, aPod(fresh, node, { ready: true })] };

  expect(planApp(rolling)).toEqual([]);
  expect(planApp(ready)).toEqual([
    { kind: "go-live", release: fresh.id },
    { kind: "retire", release: old.id },
    { kind: "remove", pod: oldPod.id, because: "old-release" },
  ]);
});

test("what a silent node said last makes no release live and lets no old pod go", () => {
  const [node, silent] = [aNode(), aNode({ name: "node-b", seenAtMs: 950_000 })];
  const [old, fresh] = [
    aRelease({ number: 1, phase: "live" }),
    aRelease({ number: 2, phase: "rolling", progressDeadlineMs: 60_000 }),
  ];
  const pods = [aPod(old, node, { ready: true }), aPod(fresh, silent, { ready: true })];
  const world = aWorld({ releases: [old, fresh], nodes: [node, silent], pods });

  expect(planApp(world)).toEqual([]);
  expect(planApp({ ...world, nowMs: 1_060_000 })[0]).toMatchObject({
    kind: "fail",
    failure: {
      slug: "node-silent",
      message: expect.stringContaining("its node node-b is silent since 1970-01-01T00:15:50.000Z"),
    },
  });
});

test("a health path that answers 404 fails the release in words and leaves the one before it", () => {
  const node = aNode();
  const [old, bad] = [
    aRelease({ number: 1, phase: "live" }),
    aRelease({ number: 2, phase: "rolling" }),
  ];
  const badPod = aPod(bad, node, { probe: { status: 404, times: 5 }, logTail: ["started"] });
  const world = aWorld({
    releases: [old, bad],
    nodes: [node],
    pods: [aPod(old, node, { ready: true }), badPod],
  });

  expect(planApp(world)).toMatchObject([
    { kind: "fail", release: bad.id, failure: { slug: "health-not-found", log: ["started"] } },
    { kind: "remove", pod: badPod.id, because: "release-failed" },
  ]);
});

test("a web app that Tomcat could not start is told from a wrong health path", () => {
  const node = aNode();
  const bad = aRelease({ phase: "rolling" });
  const line = "SEVERE: Context [] startup failed due to previous errors";
  const pod = aPod(bad, node, { probe: { status: 404, times: 9 }, logTail: [line] });

  const [failure] = planApp(aWorld({ releases: [bad], nodes: [node], pods: [pod] }));

  expect(failure).toMatchObject({ kind: "fail", failure: { slug: "war-start-failed" } });
});

test("a pod that fits nowhere waits, and the words say what each node lacks", () => {
  const requests = { cpuMillis: 500, memoryBytes: 1.5e9, pods: 1 };
  const small = aNode({ allocatable: { cpuMillis: 4_000, memoryBytes: 1.25e9, pods: 9 } });
  const cordoned = aNode({ name: "node-b", cordoned: true });

  const changes = planApp(
    aWorld({ releases: [aRelease({ demands: demands({ requests }) })], nodes: [small, cordoned] }),
  );

  expect(changes.at(-1)).toMatchObject({
    kind: "wait",
    why: "node-a: short by 0.25G memory; node-b: cordoned",
  });
});

test("why a pod waits for a silent node is said in words that stay the same", () => {
  const world = aWorld({ releases: [aRelease({ phase: "live" })] });
  const why = (nowMs: number) => planApp({ ...world, nowMs });

  expect(why(1_060_000)).toMatchObject([
    { kind: "wait", why: "node-a: silent since 1970-01-01T00:16:40.000Z" },
  ]);
  expect(why(9_000_000)).toEqual(why(1_060_000));
});

test("a release without progress fails at its deadline, with what its pod last showed", () => {
  const node = aNode();
  const stuck = aRelease({ phase: "rolling", progressDeadlineMs: 60_000 });
  const pod = aPod(stuck, node, { probe: { times: 99, excerpt: "connection refused" } });
  const nodes = [{ ...node, seenAtMs: 1_059_000 }];
  const world = aWorld({ releases: [stuck], nodes, pods: [pod] });

  expect(planApp({ ...world, nowMs: 1_059_999 })).toEqual([]);
  expect(planApp({ ...world, nowMs: 1_060_000 })[0]).toMatchObject({
    kind: "fail",
    failure: { slug: "nothing-listens" },
  });
});

test("a release that waited long for its first look has all of its time from then on", () => {
  const release = aRelease({ progressDeadlineMs: 60_000 });
  const [node] = [aNode({ seenAtMs: 9_000_000 })];

  expect(kinds(aWorld({ nowMs: 9_000_000, releases: [release], nodes: [node] }))).toEqual([
    "roll",
    "place",
  ]);
});

test("a pod that comes and goes keeps no release rolling for ever", () => {
  const nowMs = 1_119_999;
  const node = aNode({ seenAtMs: nowMs });
  const flapping = aRelease({ phase: "rolling", replicas: 2, progressDeadlineMs: 60_000 });
  const ready = aPod(flapping, node, { ready: true });
  const back = { ...ready, seen: ready.seen && { ...ready.seen, sinceMs: nowMs - 1_000 } };
  const pods = [back, aPod(flapping, node)];
  const world = aWorld({ nowMs, releases: [flapping], nodes: [node], pods });

  expect(planApp(world)).toEqual([]);
  expect(planApp({ ...world, nowMs: nowMs + 1 })[0]).toMatchObject({
    kind: "fail",
    failure: { message: expect.stringContaining("not ready within 120 s") },
  });
});

test("a newer built release supersedes one that still rolls", () => {
  const node = aNode();
  const [slow, newest] = [aRelease({ number: 1, phase: "rolling" }), aRelease({ number: 2 })];
  const world = aWorld({ releases: [slow, newest], nodes: [node], pods: [aPod(slow, node)] });

  expect(planApp(world)).toContainEqual({ kind: "supersede", release: slow.id, by: 2 });
});

test("a deleted app keeps no pod and no release", () => {
  const node = aNode();
  const live = aRelease({ phase: "live" });
  const world = aWorld({
    appDeleted: true,
    releases: [live],
    nodes: [node],
    pods: [aPod(live, node)],
  });

  expect(kinds(world)).toEqual(["retire", "remove"]);
});
