import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { demandsOf } from "../../../contract/placement/demands.ts";
import { withTenant } from "../../../contract/placement/filter.ts";
import type { NodeView } from "../../../contract/placement/node-view.ts";
import { Pod } from "../../../contract/pod/pod.ts";
import { type Change, planApp } from "../../../worker/schedule/plan.ts";
import type { ReleaseView, World } from "../../../worker/schedule/world.ts";
import { aNode, apply, aRelease, aWorld, demands, MIB } from "./world.ts";

const image = `waybill.internal/apps/default/shop@sha256:${"a".repeat(64)}`;
const asking = (name: string, memory: string) => ({
  name,
  image,
  resources: { requests: { cpu: "100m", memory }, limits: { memory } },
});

/** An app and the collector of its log, in one pod. */
const WITH_COLLECTOR = Pod.parse({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "shop-1-abcde", uid: randomUUID() },
  spec: { containers: [asking("app", "1G"), asking("log-collector", "0.5G")] },
});

function offering(name: string, memoryBytes: number): NodeView {
  return aNode({ name, allocatable: { cpuMillis: 4_000, memoryBytes, pods: 50 } });
}

test("an app and its log collector go as a whole to the node that has room for both", () => {
  const [a, b] = [offering("node-a", 1.25e9), offering("node-b", 2e9)];
  const release = aRelease({ demands: demandsOf(WITH_COLLECTOR) });
  const world = aWorld({ releases: [release], nodes: [a, b] });

  expect(planApp(world)).toEqual([
    { kind: "roll", release: release.id },
    { kind: "place", release: release.id, node: b.id },
  ]);
  expect(planApp({ ...world, nodes: [a] }).at(-1)).toEqual({
    kind: "wait",
    release: release.id,
    why: "node-a: short by 0.25G memory",
  });
});

test("of two such pods at once one runs, and the other waits without holding anything", () => {
  const [a, b] = [offering("node-a", 1.25e9), offering("node-b", 2e9)];
  const release = aRelease({ demands: demandsOf(WITH_COLLECTOR), replicas: 2 });
  const small = aRelease({ demands: demands({ requests: { ...NOTHING, memoryBytes: 1.25e9 } }) });
  const world = aWorld({ releases: [release], nodes: [a, b] });

  const changes = planApp(world);
  const after = withTenants(changes.reduce(apply, world), [release]);

  expect(changes.slice(1)).toEqual([
    { kind: "place", release: release.id, node: b.id },
    {
      kind: "wait",
      release: release.id,
      why: "node-a: short by 0.25G memory; node-b: short by 1G memory",
    },
  ]);
  expect(planApp({ ...after, releases: [small], pods: [] }).at(-1)).toMatchObject({
    kind: "place",
    node: a.id,
  });
});

const NOTHING = { cpuMillis: 0, memoryBytes: 0, pods: 0 };

/** The nodes with what these releases' wanted pods take of them. */
function withTenants(world: World, releases: readonly ReleaseView[]): World {
  const asked = new Map(releases.map((it) => [it.id, it.demands]));
  const nodes = world.nodes.map((node) =>
    world.pods
      .filter((pod) => pod.node === node.id && pod.wanted === "run")
      .reduce(
        (view, pod) =>
          withTenant(view, { pod: pod.id, demands: asked.get(pod.release) ?? demands() }),
        { ...node, tenants: [], used: NOTHING } as NodeView,
      ),
  );
  return { ...world, nodes };
}

const amounts = fc.record({
  cpuMillis: fc.integer({ min: 100, max: 4_000 }),
  memoryBytes: fc.integer({ min: 64, max: 4_096 }).map((it) => it * MIB),
});
const fleets = fc.record({
  nodes: fc.array(fc.tuple(amounts, fc.integer({ min: 1, max: 8 })), {
    minLength: 1,
    maxLength: 6,
  }),
  apps: fc.array(fc.tuple(amounts, fc.integer({ min: 0, max: 6 })), { minLength: 1, maxLength: 6 }),
});

test("in a thousand fleets no node holds more than it offers, and what has settled plans nothing", () => {
  fc.assert(
    fc.property(fleets, (fleet) => {
      const nodes = fleet.nodes.map(([offered, pods], at) =>
        aNode({ name: `node-${at}`, allocatable: { ...offered, pods } }),
      );
      const releases = fleet.apps.map(([asked, replicas]) =>
        aRelease({ replicas, demands: demands({ requests: { ...asked, pods: 1 } }) }),
      );
      let world = aWorld({ nodes });

      for (const release of [...releases, ...releases]) {
        const mine = world.pods.filter((pod) => pod.release === release.id);
        const view = { ...withTenants(world, releases), releases: [release], pods: mine };
        const changes = planApp(view);
        expectWhole(changes, release.replicas - mine.length);
        if (mine.length > 0) expect(changes.filter((it) => it.kind === "place")).toEqual([]);
        const after = changes.reduce(apply, view);
        const others = world.pods.filter((pod) => pod.release !== release.id);
        world = { ...world, pods: [...others, ...after.pods] };
        const settled = {
          ...withTenants(world, releases),
          releases: after.releases,
          pods: after.pods,
        };
        expect(planApp(settled).filter((it) => it.kind === "place")).toEqual([]);
      }

      for (const { used, allocatable } of withTenants(world, releases).nodes) {
        expect(used.memoryBytes).toBeLessThanOrEqual(allocatable.memoryBytes);
        expect(used.cpuMillis).toBeLessThanOrEqual(allocatable.cpuMillis);
        expect(used.pods).toBeLessThanOrEqual(allocatable.pods);
      }
    }),
    { numRuns: 1_000 },
  );
});

/** Every pod that is missing has a node, or one word says of all the others that they wait. */
function expectWhole(changes: readonly Change[], missing: number) {
  const placed = changes.filter((it) => it.kind === "place").length;
  const waits = changes.filter((it) => it.kind === "wait").length;
  if (placed < Math.max(0, missing)) expect(waits).toBe(1);
  else expect([placed, waits]).toEqual([Math.max(0, missing), 0]);
}
