import { expect, test } from "vitest";
import type { Labels } from "../../../contract/placement/demands.ts";
import type { NodeView } from "../../../contract/placement/node-view.ts";
import { planApp } from "../../../worker/schedule/plan.ts";
import type { ReleaseView } from "../../../worker/schedule/world.ts";
import { aContainer, aNode, aPod, aRelease, aWorld, demands, MIB } from "./world.ts";

const node = aNode();
const LONG_AGO = 0;

/** A live release, and a new one that asks for the same pods. */
function equals(asked: Partial<ReleaseView> = {}, served: Partial<ReleaseView> = {}) {
  const old = aRelease({ number: 1, phase: "live", ...served });
  const target = aRelease({ number: 2, fingerprint: old.fingerprint, ...asked });
  return { old, target };
}

test("a release that asks for what runs already is live at once, and nothing is made anew", () => {
  const { old, target } = equals();
  const pod = aPod(old, node, { ready: true });

  expect(planApp(aWorld({ releases: [old, target], nodes: [node], pods: [pod] }))).toEqual([
    { kind: "adopt", pod: pod.id, release: target.id },
    { kind: "roll", release: target.id },
    { kind: "go-live", release: target.id },
    { kind: "retire", release: old.id },
  ]);
});

test("other labels of nodes move the pods whose nodes lack them, and no other", () => {
  const [fast, slow, bare] = [
    aNode({ labels: { disk: "fast", pool: "x" } }),
    aNode({ name: "node-b", labels: { disk: "slow", pool: "x" } }),
    aNode({ name: "node-c" }),
  ];
  const asking = (nodeSelector: Labels) => ({ replicas: 2, demands: demands({ nodeSelector }) });
  const after = (now: Labels, was: Labels = {}, nodes = [fast, slow]) => {
    const { old, target } = equals(asking(now), asking(was));
    const pods = nodes.map((it) => aPod(old, it, { ready: true }));
    const changes = planApp(aWorld({ releases: [old, target], nodes: [fast, slow, bare], pods }));
    const words = changes.flatMap((it) => {
      if (it.kind === "place") return [`place on ${it.node === fast.id ? "fast" : "another"}`];
      const at = "pod" in it ? pods.findIndex((pod) => pod.id === it.pod) : -1;
      return at < 0 ? [] : [`${it.kind} ${nodes[at]?.name}`];
    });
    return words.toSorted();
  };

  expect(after({ pool: "x" })).toEqual(["adopt node-a", "adopt node-b"]);
  expect(after({}, { disk: "fast" })).toEqual(["adopt node-a", "adopt node-b"]);
  expect(after({ disk: "fast" })).toEqual(["adopt node-a", "place on fast"]);
  // What they were placed by is not asked again of nodes that have lost it since.
  expect(after({ pool: "x" }, { pool: "x" }, [bare, bare])).toEqual([
    "adopt node-c",
    "adopt node-c",
  ]);
  expect(after({ disk: "fast", pool: "x" }, { pool: "x" }, [bare, fast])).toEqual([
    "adopt node-a",
    "place on fast",
  ]);
});

test("more replicas keep those that there are, and make the missing ones", () => {
  const { old, target } = equals({ replicas: 3 });
  const pod = aPod(old, node, { ready: true });

  const changes = planApp(aWorld({ releases: [old, target], nodes: [node], pods: [pod] }));

  expect(changes.map((it) => it.kind)).toEqual(["adopt", "roll", "place", "place"]);
});

test("those that are made beside a pod that stays go where it is not", () => {
  const { old, target } = equals({ replicas: 2 });
  const [busy, other] = [
    aNode({ used: { cpuMillis: 500, memoryBytes: 512 * MIB, pods: 1 } }),
    aNode({ name: "node-b" }),
  ];
  const pods = [aPod(old, busy, { ready: true })];

  const changes = planApp(aWorld({ releases: [old, target], nodes: [busy, other], pods }));

  expect(changes.at(-1)).toEqual({ kind: "place", release: target.id, node: other.id });
});

test("fewer replicas keep the ready ones that are spread best, of equals the longest first", () => {
  const at = (name: string, zone: string) => aNode({ name, labels: { zone } });
  const nodes = [at("a-1", "a"), at("a-2", "a"), at("b", "b"), at("c", "c")];
  const [a1, a2, b, c] = nodes as [NodeView, NodeView, NodeView, NodeView];
  const kept = (spreadBy: string, replicas: number) => {
    const { old, target } = equals({ replicas, spreadBy }, { replicas: 5 });
    const ages = [a1, a1, a2, b].map((it, age) => ({
      ...aPod(old, it, { ready: true }),
      createdAtMs: age,
    }));
    const pods = [...ages.toReversed(), aPod(old, c)];
    const changes = planApp(aWorld({ releases: [old, target], nodes, pods }));
    const adopted = changes.flatMap((it) => (it.kind === "adopt" ? [it.pod] : []));
    return adopted.map((id) => ages.findIndex((it) => it.id === id)).toSorted();
  };

  expect(kept("zone", 2)).toEqual([0, 3]);
  expect(kept("zone", 3)).toEqual([0, 2, 3]);
  expect(kept("kubernetes.io/hostname", 2)).toEqual([0, 2]);
  expect(kept("none", 2)).toEqual([0, 2]);
  expect(kept("zone", 4)).toEqual([0, 1, 2, 3]);
});

test("fewer replicas keep the ready ones, the longest first", () => {
  const { old, target } = equals({ replicas: 1 }, { replicas: 3 });
  const [unready, young, oldest] = [
    aPod(old, node),
    aPod(old, node, { ready: true }),
    { ...aPod(old, node, { ready: true }), createdAtMs: LONG_AGO },
  ];
  const pods = [unready, young, oldest];

  const changes = planApp(aWorld({ releases: [old, target], nodes: [node], pods }));

  expect(changes.filter((it) => "pod" in it)).toEqual([
    { kind: "adopt", pod: oldest.id, release: target.id },
    { kind: "remove", pod: unready.id, because: "old-release" },
    { kind: "remove", pod: young.id, because: "old-release" },
  ]);
});

test("a restart takes over none, and exchanges them one by one", () => {
  const { old, target } = equals({ newPods: true });
  const pod = aPod(old, node, { ready: true });

  const changes = planApp(aWorld({ releases: [old, target], nodes: [node], pods: [pod] }));

  expect(changes.map((it) => it.kind)).toEqual(["roll", "place"]);
});

test.each([
  ["failed for good", { phase: "Failed" as const }],
  ["goes on crashing", { containers: [aContainer({ restarts: 7 })] }],
  ["had its time and is not ready", {}],
])("a pod that %s is made anew by a new release", (_, seen) => {
  const { old, target } = equals();
  const pod = { ...aPod(old, node, seen), createdAtMs: LONG_AGO };

  const changes = planApp(aWorld({ releases: [old, target], nodes: [node], pods: [pod] }));

  expect(changes.map((it) => it.kind)).toEqual(["roll", "place"]);
});

test("a pod that is still starting goes on doing so under the newer release", () => {
  const first = aRelease({ number: 1, phase: "rolling" });
  const second = aRelease({ number: 2, fingerprint: first.fingerprint });
  const pod = aPod(first, node);

  const changes = planApp(aWorld({ releases: [first, second], nodes: [node], pods: [pod] }));

  expect(changes).toEqual([
    { kind: "supersede", release: first.id, by: 2 },
    { kind: "adopt", pod: pod.id, release: second.id },
    { kind: "roll", release: second.id },
  ]);
});

test("what a failed release took over goes back to the one before it", () => {
  const { old, target } = equals({ phase: "rolling", replicas: 2 });
  const taken = { ...aPod(old, node, { ready: true }), release: target.id };
  const failed = aPod(target, node, { phase: "Failed", reason: "boom" });

  const changes = planApp(
    aWorld({ releases: [old, target], nodes: [node], pods: [taken, failed] }),
  );

  expect(changes).toMatchObject([
    { kind: "fail", release: target.id, failure: { slug: "pod-failed", message: "boom" } },
    { kind: "adopt", pod: taken.id, release: old.id },
    { kind: "remove", pod: failed.id, because: "release-failed" },
  ]);
});

test("what an overtaken release took over serves on in the one that is live", () => {
  const { old, target: overtaken } = equals({ phase: "rolling" });
  const newest = aRelease({ number: 3 });
  const pod = { ...aPod(old, node), release: overtaken.id };

  const changes = planApp(
    aWorld({ releases: [old, overtaken, newest], nodes: [node], pods: [pod] }),
  );

  expect(changes.filter((it) => "pod" in it)).toEqual([
    { kind: "adopt", pod: pod.id, release: old.id },
  ]);
});

test("the live release takes back what it lacks from one that nobody could place", () => {
  const { old, target } = equals({}, { replicas: 2 });
  const [taken, made, other] = [
    { ...aPod(old, node, { ready: true }), release: target.id },
    aPod(target, node),
    aPod(aRelease(), node),
  ];

  const changes = planApp(aWorld({ releases: [old], nodes: [node], pods: [other, made, taken] }));

  expect(changes).toEqual([
    { kind: "adopt", pod: taken.id, release: old.id },
    { kind: "adopt", pod: made.id, release: old.id },
    { kind: "remove", pod: other.id, because: "old-release" },
  ]);
});

test("a job that has succeeded is taken over and not run again", () => {
  const { old, target } = equals();
  const done = aPod(old, node, { phase: "Succeeded" });

  const changes = planApp(aWorld({ releases: [old, target], nodes: [node], pods: [done] }));

  expect(changes.map((it) => it.kind)).toEqual(["adopt", "roll", "go-live", "retire"]);
});

test("a pod that nobody asks proves something once it was ready for a while", () => {
  const release = aRelease({ phase: "rolling", settleMs: 3_000 });
  const pod = aPod(release, node, { ready: true });
  const world = aWorld({ releases: [release], nodes: [node], pods: [pod] });

  expect(planApp({ ...world, nowMs: 1_002_999 })).toEqual([]);
  expect(planApp({ ...world, nowMs: 1_003_000 })).toEqual([
    { kind: "go-live", release: release.id },
  ]);
});
