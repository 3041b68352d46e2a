import { randomUUID } from "node:crypto";
import { NodeId, PodId, ReleaseId } from "../../../contract/ids.ts";
import type { PodStatus } from "../../../contract/node-protocol.ts";
import { type Change, planApp } from "../../../worker/schedule/plan.ts";
import type { NodeView, PodView, ReleaseView, World } from "../../../worker/schedule/world.ts";

export const MIB = 1024 * 1024;

export function aNode(overrides: Partial<NodeView> = {}): NodeView {
  return {
    id: NodeId.parse(randomUUID()),
    name: "node-a",
    cordoned: false,
    seenAtMs: 1_000_000,
    allocatable: { cpuMillis: 4_000, memoryBytes: 8_192 * MIB, pods: 50 },
    used: { cpuMillis: 0, memoryBytes: 0, pods: 0 },
    ...overrides,
  };
}

export function aRelease(overrides: Partial<ReleaseView> = {}): ReleaseView {
  return {
    id: ReleaseId.parse(randomUUID()),
    number: 1,
    phase: "built",
    phaseAtMs: 1_000_000,
    replicas: 1,
    maxSurge: 1,
    progressDeadlineMs: 300_000,
    requests: { cpuMillis: 500, memoryBytes: 512 * MIB, pods: 1 },
    ...overrides,
  };
}

export function aStatus(pod: PodId, overrides: Partial<PodStatus> = {}): PodStatus {
  return {
    pod,
    phase: "Running",
    ready: false,
    restarts: 0,
    containers: [{ name: "tomcat", state: "running", restarts: 0 }],
    logTail: [],
    ...overrides,
  };
}

export function aPod(
  release: ReleaseView,
  node: NodeView,
  seen: Partial<PodStatus> | undefined = {},
): PodView {
  const id = PodId.parse(randomUUID());
  return {
    id,
    name: `shop-${release.number}-${id.slice(0, 5)}`,
    release: release.id,
    node: node.id,
    wanted: "run",
    seen: seen && { status: aStatus(id, seen), sinceMs: 1_000_000 },
  };
}

export function aWorld(overrides: Partial<World> = {}): World {
  return {
    nowMs: 1_000_000,
    appDeleted: false,
    releases: [],
    pods: [],
    nodes: [aNode()],
    ...overrides,
  };
}

/** The world after the plan's changes; a placed pod has not been seen yet. */
export function apply(world: World, change: Change): World {
  const moved = (phase: ReleaseView["phase"]) => ({
    ...world,
    releases: world.releases.map((it) =>
      "release" in change && it.id === change.release
        ? { ...it, phase, phaseAtMs: world.nowMs }
        : it,
    ),
  });
  const dropped = () => ({
    ...world,
    releases: world.releases.filter((it) => !("release" in change) || it.id !== change.release),
  });
  switch (change.kind) {
    case "place": {
      const release = world.releases.find((it) => it.id === change.release);
      const node = world.nodes.find((it) => it.id === change.node);
      if (!release || !node) throw new Error("the plan names what the world does not have");
      return { ...world, pods: [...world.pods, { ...aPod(release, node), seen: undefined }] };
    }
    case "remove":
      return { ...world, pods: world.pods.filter((pod) => pod.id !== change.pod) };
    case "roll":
      return moved("rolling");
    case "go-live":
      return moved("live");
    case "retire":
    case "supersede":
    case "cancel":
    case "fail":
      return dropped();
    case "wait":
      return world;
  }
}

/** One round: agents report what they see, then the plan is carried out. */
export function round(
  world: World,
  becomesReady: (pod: PodView) => boolean,
): { world: World; changes: readonly Change[] } {
  const used = (node: NodeView) =>
    world.pods
      .filter((pod) => pod.node === node.id)
      .reduce(
        (sum, pod) => {
          const requests = world.releases.find((it) => it.id === pod.release)?.requests;
          return {
            cpuMillis: sum.cpuMillis + (requests?.cpuMillis ?? 0),
            memoryBytes: sum.memoryBytes + (requests?.memoryBytes ?? 0),
            pods: sum.pods + 1,
          };
        },
        { cpuMillis: 0, memoryBytes: 0, pods: 0 },
      );
  const seen: World = {
    ...world,
    nowMs: world.nowMs + 10_000,
    nodes: world.nodes.map((node) => ({
      ...node,
      seenAtMs: world.nowMs + 10_000,
      used: used(node),
    })),
    pods: world.pods.map((pod) => {
      const ready = becomesReady(pod);
      const sinceMs = ready === pod.seen?.status.ready ? pod.seen.sinceMs : world.nowMs + 10_000;
      return { ...pod, seen: { status: aStatus(pod.id, { ready }), sinceMs } };
    }),
  };
  const changes = planApp(seen);
  return { world: changes.reduce(apply, seen), changes };
}
