import { expect, test } from "vitest";
import type { Demands } from "../../../contract/placement/demands.ts";
import { canTake } from "../../../contract/placement/filter.ts";
import type { NodeView, Surroundings, Tenant } from "../../../contract/placement/node-view.ts";
import { POD_LABELS } from "../../../contract/pod/pod.ts";
import { planApp } from "../../../worker/schedule/plan.ts";
import type { ReleaseView } from "../../../worker/schedule/world.ts";
import { aNode, aPod, aRelease, aWorld, demands, MIB } from "./world.ts";

const inProject = (project: string, labels: object) => ({
  [POD_LABELS.project]: project,
  ...labels,
});
const tenant = (said: Partial<Demands>): Tenant => ({ pod: undefined, demands: demands(said) });
const withDb = { tenants: [tenant({ labels: inProject("default", { app: "db" }) })] };

function verdict(node: NodeView, said: Partial<Demands>, around: Partial<Surroundings> = {}) {
  const world = { nowMs: 1_000_000, nodes: [node], volumes: new Map(), ...around };
  const it = canTake(node, aRelease({ demands: demands(said) }), world);
  return it.fits ? "fits" : it.why;
}

test.each<[string, Partial<NodeView>, Partial<Demands>]>([
  [
    'node-a: has no runtime handler "kata" (it has runsc)',
    { handlers: ["runsc"] },
    { handler: "kata" },
  ],
  ['node-a: has no runtime handler "kata" (it has none but its default)', {}, { handler: "kata" }],
  ["fits", { handlers: ["runsc", "kata"] }, { handler: "kata" }],
  ["node-a: has no label disk=ssd", {}, { nodeSelector: { disk: "ssd" } }],
  [
    "node-a: has the label disk=hdd, not ssd",
    { labels: { disk: "hdd" } },
    { nodeSelector: { disk: "ssd" } },
  ],
  ["fits", {}, { nodeSelector: { "kubernetes.io/hostname": "node-a" } }],
  [
    "node-a: host port 8443/TCP is taken",
    { tenants: [tenant({ hostPorts: ["8443/TCP"] })] },
    { hostPorts: ["8443/TCP", "9000/TCP"] },
  ],
  ["fits", { tenants: [tenant({ hostPorts: ["8443/TCP"] })] }, { hostPorts: ["8443/UDP"] }],
  ["node-a: no pod with app=db is there", {}, { near: [{ app: "db" }] }],
  ["fits", withDb, { near: [{ app: "db" }] }],
  ["node-a: a pod with app=db is there", withDb, { apart: [{ app: "db" }] }],
  ["fits", {}, { apart: [{ app: "shop" }] }],
  [
    "node-a: a pod there wants none with app=shop beside it",
    {
      tenants: [tenant({ labels: { [POD_LABELS.project]: "default" }, apart: [{ app: "shop" }] })],
    },
    {},
  ],
  ['node-a: there is no volume "data"', {}, { claims: ["data"] }],
  [
    "node-a: host port 80/TCP is taken, short by 2G memory, 1 CPU",
    {
      tenants: [tenant({ hostPorts: ["80/TCP"] })],
      allocatable: { cpuMillis: 1_000, memoryBytes: 1e9, pods: 9 },
    },
    { hostPorts: ["80/TCP"], requests: { cpuMillis: 2_000, memoryBytes: 3e9, pods: 1 } },
  ],
])("%s", (words, node, pod) => {
  expect(verdict(aNode(node), pod)).toBe(words);
});

test("pods of another project are neither company nor in the way", () => {
  const stranger = tenant({
    labels: inProject("other", { app: "db" }),
    apart: [{ app: "shop" }],
  });
  const node = aNode({ tenants: [stranger] });

  expect(verdict(node, { apart: [{ app: "db" }] })).toBe("fits");
  expect(verdict(node, { near: [{ app: "db" }] })).toBe("node-a: no pod with app=db is there");
});

test("of pods that want each other's company, the first may begin anywhere and the next follow", () => {
  const [home, other] = [
    aNode({ tenants: [tenant({ labels: inProject("default", { app: "shop" }) })] }),
    aNode({ name: "node-b" }),
  ];
  const near = [{ app: "shop" }];

  expect(verdict(other, { near })).toBe("fits");
  expect(verdict(other, { near }, { nodes: [home, other] })).toBe(
    "node-b: no pod with app=shop is there",
  );
  expect(verdict(home, { near }, { nodes: [home, other] })).toBe("fits");
});

test("a volume that has a node holds its pods there", () => {
  const [home, other] = [aNode(), aNode({ name: "node-b" })];
  const nodes = [home, other];
  const volumes = new Map([["data", home.id]]);

  expect(verdict(home, { claims: ["data"] }, { nodes, volumes })).toBe("fits");
  expect(verdict(other, { claims: ["data"] }, { nodes, volumes })).toBe(
    'node-b: the volume "data" is on node-a',
  );
});

test("the first pod of a volume decides where all others of its app go", () => {
  const release = aRelease({ replicas: 4, demands: demands({ claims: ["data"] }) });
  const nodes = ["node-a", "node-b", "node-c"].map((name) => aNode({ name }));
  const world = aWorld({ releases: [release], nodes, volumes: new Map([["data", undefined]]) });

  const places = planApp(world).flatMap((it) => (it.kind === "place" ? [it.node] : []));

  expect(places).toHaveLength(4);
  expect(new Set(places).size).toBe(1);
});

test("a pod goes as a whole where all of it fits, and one too many waits and hoards nothing", () => {
  const requests = { cpuMillis: 100, memoryBytes: 1.5e9, pods: 1 };
  const room = (memoryBytes: number) => ({ cpuMillis: 4_000, memoryBytes, pods: 9 });
  const [a, b] = [
    aNode({ allocatable: room(1.25e9) }),
    aNode({ name: "node-b", allocatable: room(2e9) }),
  ];
  const release = aRelease({ replicas: 2, demands: demands({ requests }) });

  expect(planApp(aWorld({ releases: [release], nodes: [a, b] })).slice(1)).toEqual([
    { kind: "place", release: release.id, node: b.id },
    {
      kind: "wait",
      release: release.id,
      why: "node-a: short by 0.25G memory; node-b: short by 1G memory",
    },
  ]);
});

test("an old pod that leaves no room is left to serve, but for one that holds the new one's volume", () => {
  const requests = { cpuMillis: 500, memoryBytes: 1.5e9, pods: 1 };
  const exchange = (claims: readonly string[]) => {
    const wants = demands({ requests, claims });
    const [old, target] = [
      aRelease({ number: 1, phase: "live", demands: wants }),
      aRelease({ number: 2, phase: "rolling", demands: wants }),
    ];
    const full = aNode({ allocatable: { cpuMillis: 4_000, memoryBytes: 2e9, pods: 9 } });
    const pod = aPod(old, full, { ready: true });
    const node = { ...full, tenants: [{ pod: pod.id, demands: wants }], used: requests };
    const volumes = new Map([["data", full.id]]);
    const pods = [pod];
    const changes = planApp(aWorld({ releases: [old, target], nodes: [node], pods, volumes }));
    return changes.map((it) => ("because" in it ? it.because : it.kind));
  };

  expect(exchange([])).toEqual(["wait"]);
  expect(exchange(["data"])).toEqual(["in-the-way", "wait"]);
});

test("a node is told no more than one answer holds; what it is told already counts once", () => {
  const release = (number: number, maps: Record<string, number>, replicas = 1) => {
    const materials = new Map(Object.entries(maps));
    return aRelease({ number, replicas, wish: { textBytes: 1_000, door: false, materials } });
  };
  const told = (bytes: number, materials: readonly string[] = [], pods = 3) =>
    aNode({ wish: { pods, bytes, doors: 0, materials: new Set(materials) } });
  const placing = (node: NodeView, it: ReleaseView) =>
    planApp(aWorld({ releases: [it], nodes: [node] }))
      .slice(1)
      .map((change) => ("why" in change ? change.why : change.kind));
  const settings = { "configMaps/settings.v1": 3 * MIB };
  const tooMuch =
    "node-a: its pods, config maps and secrets would take 17.01 MiB of at most 16 MiB";

  expect(placing(told(14 * MIB), release(1, settings))).toEqual([tooMuch]);
  expect(placing(told(14 * MIB, Object.keys(settings)), release(1, settings))).toEqual(["place"]);
  expect(placing(told(12 * MIB), release(1, settings, 3))).toEqual(["place", "place", "place"]);
  // A rollout holds the configuration of both releases for a while.
  const next = release(2, { "configMaps/settings.v2": 3 * MIB });
  expect(placing(told(14 * MIB, Object.keys(settings)), next)).toEqual([tooMuch]);
  expect(placing(told(MIB, [], 1_000), release(1, {}))).toEqual([
    "node-a: has 1000 pods to keep, finished ones with them",
  ]);
});

test("a pod is not taken over with annotations that its node could not be told", () => {
  const old = aRelease({ number: 1, phase: "live", fingerprint: "same" });
  const wish = { textBytes: MIB, door: false, materials: new Map() };
  const target = aRelease({ number: 2, fingerprint: "same", wish });
  const kinds = (bytes: number) => {
    const node = aNode({ wish: { pods: 1, bytes, doors: 0, materials: new Set() } });
    const pods = [aPod(old, node, { ready: true })];
    const changes = planApp(aWorld({ releases: [old, target], nodes: [node], pods }));
    return changes.map(({ kind }) => kind);
  };

  expect(kinds(8 * MIB)).toContain("adopt");
  expect(kinds(15.5 * MIB)).not.toContain("adopt");
});
