import fc from "fast-check";
import { expect, test } from "vitest";
import { PodId } from "../../contract/ids.ts";
import type { Pod } from "../../contract/pod.ts";
import { planNode, type Setback } from "../../node-agent/plan.ts";
import { aPod } from "../support/pods.ts";
import { aContainer, aSandbox, aWorld, fp, live, uidOf } from "./a-world.ts";

const doing = (world: Parameters<typeof planNode>[0]) =>
  planNode(world).map((step) => `${step.do} ${"because" in step ? step.because : ""}`.trim());

test("a pod that is wished for is started, and left alone once it runs", () => {
  const pod = aPod();

  expect(doing(aWorld([pod], []))).toEqual(["start-pod"]);
  expect(doing(aWorld([pod], [aSandbox(pod)]))).toEqual([]);
});

test("no wish at all means no step at all, whatever is there", () => {
  const world = {
    ...aWorld([], [aSandbox(aPod()), aSandbox(aPod(), { ready: false })]),
    wanted: undefined,
  };

  expect(planNode(world)).toEqual([]);
});

test("a pod that nobody wishes for leaves whole", () => {
  const sandbox = aSandbox(aPod());

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

test("a pod that the runtime does not tell all about is left as it is, and no other", () => {
  const [pod, other] = [aPod(), aPod({ name: "web-2" })];
  const ended = { unclear: true, containers: [aContainer({ state: "exited" })] };

  expect(doing(aWorld([pod, other], [aSandbox(pod, ended)]))).toEqual(["start-pod"]);
  expect(doing(aWorld([], [aSandbox(pod, ended)]))).toEqual([]);
});

test("a pod under way is not given a second step", () => {
  const pod = aPod();

  expect(planNode({ ...aWorld([pod], []), busy: new Set([pod.metadata.uid]) })).toEqual([]);
});

test("a container that was made and never started is started, not made again", () => {
  const pod = aPod();
  const made = aContainer({ state: "created", attempt: 2, restarts: 5, crashes: 1 });

  expect(planNode(aWorld([pod], [aSandbox(pod, { containers: [made] })]))).toMatchObject([
    { do: "start-pod", sandbox: "s1", starts: [{ existing: made.id, attempt: 2, restarts: 5 }] },
  ]);
});

test("a sandbox without a container is gone on with, not made again", () => {
  const pod = aPod();

  expect(planNode(aWorld([pod], [aSandbox(pod, { containers: [] })]))).toMatchObject([
    { do: "start-pod", sandbox: "s1", starts: [{ existing: undefined, attempt: 0 }] },
  ]);
});

test.each([
  [0, 1_000],
  [1, 2_000],
  [4, 16_000],
  [20, 300_000],
])("after %i crashes in a row the next start waits %i ms", (crashes, waitMs) => {
  const pod = aPod();
  const ended = aContainer({ state: "exited", crashes, ranMs: 100, endedAtMs: 50_000 });
  const sandbox = aSandbox(pod, { containers: [ended] });
  const at = (nowMs: number) => planNode({ ...aWorld([pod], [sandbox]), nowMs });

  expect(at(50_000 + waitMs - 1)).toEqual([]);
  expect(at(50_000 + waitMs)).toMatchObject([
    { do: "start-pod", starts: [{ attempt: 1, restarts: 1, crashes: crashes + 1 }] },
  ]);
});

test("ten healthy minutes make up for every crash before them", () => {
  const pod = aPod();
  const ended = aContainer({ state: "exited", crashes: 9, ranMs: 600_000, endedAtMs: 1_000_000 });
  const world = { ...aWorld([pod], [aSandbox(pod, { containers: [ended] })]), nowMs: 1_001_000 };

  expect(planNode(world)).toMatchObject([{ do: "start-pod", starts: [{ crashes: 1 }] }]);
});

test("a dead, a changed and a surplus sandbox leave before another one comes", () => {
  const pod = aPod();
  const good = aSandbox(pod);

  expect(doing(aWorld([pod], [aSandbox(pod, { ready: false })]))).toEqual([
    "remove-sandboxes dead",
  ]);
  expect(doing(aWorld([pod], [aSandbox(pod, { fingerprint: "old" })]))).toEqual([
    "remove-sandboxes changed",
  ]);
  expect(
    planNode(aWorld([pod], [good, aSandbox(pod, { id: "s0", createdAtMs: 0 })])),
  ).toMatchObject([
    { do: "remove-sandboxes", sandboxes: [{ id: "s0" }], whole: false, because: "surplus" },
  ]);
});

test("a container that never came up is ended once its startup probe has used up its tries", () => {
  const pod = aPod({ grace: 9 });
  const world = { ...aWorld([pod], [aSandbox(pod)]), startupFailed: new Set(["c1"]) };

  expect(planNode(world)).toMatchObject([
    { do: "stop-container", container: "c1", graceSeconds: 9 },
  ]);
});

test("the words of the last end are kept, those before it are not", () => {
  const pod = aPod();
  const starts = [3, 2, 1, 0].map((attempt) =>
    aContainer({ id: `c${attempt}`, attempt, state: attempt === 3 ? "running" : "exited" }),
  );

  expect(planNode(aWorld([pod], [aSandbox(pod, { containers: starts })]))).toEqual([
    { do: "remove-containers", uid: uidOf(pod), containers: ["c1", "c0"] },
  ]);
});

test("a step that failed is tried again, later and later", () => {
  const pod = aPod();
  const setback = (failures: number): Setback => ({
    failures,
    atMs: 0,
    reason: "ErrImagePull",
    message: "",
  });
  const at = (failures: number, nowMs: number) =>
    planNode({ ...aWorld([pod], []), setbacks: new Map([[uidOf(pod), setback(failures)]]), nowMs });

  expect(at(1, 499)).toEqual([]);
  expect(at(1, 500)).toHaveLength(1);
  expect(at(3, 1_999)).toEqual([]);
  expect(at(30, 30_000)).toHaveLength(1);
});

const pods = Array.from({ length: 4 }, (_, at) =>
  aPod({ uid: `00000000-0000-4000-8000-00000000000${at}`, name: `web-${at}` }),
);
const sandboxes = fc.record({
  pod: fc.constantFrom(...pods),
  ready: fc.boolean(),
  fingerprint: fc.constantFrom("as wished", "old"),
  attempt: fc.nat(2),
  containers: fc.array(
    fc.record({
      state: fc.constantFrom("created", "running", "exited", "unknown"),
      attempt: fc.nat(3),
      crashes: fc.nat(9),
    }),
    { maxLength: 3 },
  ),
});

test.each([
  ["new pods work", true],
  ["new pods never work", false],
])("from any start a node comes to rest at what was wished for, where %s", (_, podsWork) => {
  fc.assert(
    fc.property(fc.subarray(pods), fc.array(sandboxes, { maxLength: 8 }), (wanted, found) => {
      const seen = found.map((it, at) => {
        const { pod, ready, attempt } = it;
        const fingerprint = it.fingerprint === "old" ? "old" : fp(pod);
        const containers = it.containers
          .toSorted((a, b) => b.attempt - a.attempt)
          .map((c, nr) =>
            aContainer({ ...c, id: `c${at}-${nr}` } as Parameters<typeof aContainer>[0]),
          );
        return aSandbox(pod, {
          id: `s${at}`,
          ready,
          attempt,
          fingerprint,
          createdAtMs: 100 - at,
          containers,
        });
      });

      const end = live(wanted, seen, podsWork);

      expect(end.mostOfOnePod).toBeLessThanOrEqual(Math.max(1, end.mostOfOnePodAtStart));
      expect(end.touchedHealthy).toEqual([]);
      expect(end.seen.map((it) => it.pod).toSorted()).toEqual(wanted.map(uidOf).toSorted());
      if (podsWork) expect(planNode(aWorld(wanted, end.seen))).toEqual([]);
    }),
    { numRuns: 300 },
  );
});

test("the same world gives the same plan, and a world that was planned is not changed", () => {
  fc.assert(
    fc.property(
      fc.subarray(pods),
      fc.array(sandboxes, { maxLength: 4 }),
      (wanted: Pod[], found) => {
        const world = aWorld(
          wanted,
          found.map((it, at) => aSandbox(it.pod, { id: `s${at}`, ready: it.ready })),
        );
        const before = structuredClone(world);

        expect(planNode(world)).toEqual(planNode(world));
        expect(world).toEqual(before);
        expect(planNode(world).every((it) => PodId.safeParse(it.uid).success)).toBe(true);
      },
    ),
  );
});
