import { randomUUID } from "node:crypto";
import { NodeId, PodId, ReleaseId } from "../../../contract/ids.ts";
import type { ContainerStatus, PodStatus } from "../../../contract/node/protocol.ts";
import { PROTOCOL } from "../../../contract/node/skew.ts";
import type { Demands } from "../../../contract/placement/demands.ts";
import { withTenant } from "../../../contract/placement/filter.ts";
import type { NodeView } from "../../../contract/placement/node-view.ts";
import { NOTHING_TOLD } from "../../../contract/placement/wish.ts";
import { HOSTNAME_LABEL, POD_LABELS } from "../../../contract/pod/pod.ts";
import { type Change, planApp } from "../../../worker/schedule/plan.ts";
import type { PodView, ReleaseView, World } from "../../../worker/schedule/world.ts";

export const MIB = 1024 * 1024;

export function aNode(overrides: Partial<NodeView> = {}): NodeView {
  return {
    id: NodeId.parse(randomUUID()),
    name: "node-a",
    labels: {},
    handlers: [],
    cordoned: false,
    draining: false,
    fenced: false,
    astray: undefined,
    seenAtMs: 1_000_000,
    protocol: PROTOCOL,
    allocatable: { cpuMillis: 4_000, memoryBytes: 8_192 * MIB, pods: 50 },
    tenants: [],
    used: { cpuMillis: 0, memoryBytes: 0, pods: 0 },
    wish: NOTHING_TOLD,
    ...overrides,
  };
}

export function demands(overrides: Partial<Demands> = {}): Demands {
  return {
    requests: { cpuMillis: 500, memoryBytes: 512 * MIB, pods: 1 },
    hostPorts: [],
    handler: undefined,
    nodeSelector: {},
    labels: { [POD_LABELS.project]: "default", app: "shop" },
    near: [],
    apart: [],
    claims: [],
    ...overrides,
  };
}

/** A release whose pods are like those of no other, unless its fingerprint is said. */
export function aRelease(overrides: Partial<ReleaseView> = {}): ReleaseView {
  const id = ReleaseId.parse(randomUUID());
  return {
    id,
    number: 1,
    phase: "built",
    phaseAtMs: 1_000_000,
    source: "war",
    restartPolicy: "Always",
    replicas: 1,
    maxSurge: 1,
    progressDeadlineMs: 300_000,
    autoRevert: true,
    settleMs: 0,
    graceMs: 0,
    demands: demands(),
    wish: { textBytes: 1_000, door: false, materials: new Map() },
    spreadBy: HOSTNAME_LABEL,
    fingerprint: id,
    newPods: false,
    exclusive: false,
    refused: undefined,
    ...overrides,
  };
}

type Said<T> = Partial<T> | undefined;

export function aContainer(said: Said<ContainerStatus> = {}): ContainerStatus {
  const running = { name: "tomcat", kind: "main", state: "running", ready: false } as const;
  return { ...running, restarts: 0, probeFailures: [], ...said };
}

export function aStatus(pod: PodId, overrides: Said<PodStatus> = {}): PodStatus {
  return {
    pod,
    phase: "Running",
    ready: false,
    restarts: 0,
    containers: [aContainer()],
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
    createdAtMs: 1_000_000,
    goneAtMs: undefined,
    graceMs: release.graceMs,
    fingerprint: release.fingerprint,
    textBytes: release.wish.textBytes,
    nodeSelector: release.demands.nodeSelector,
    exclusive: release.exclusive,
    seen: seen && { status: aStatus(id, seen), sinceMs: 1_000_000 },
  };
}

export function aWorld(overrides: Partial<World> = {}): World {
  return {
    nowMs: 1_000_000,
    appDeleted: false,
    releases: [],
    held: undefined,
    pods: [],
    nodes: [aNode()],
    volumes: new Map(),
    lost: new Set(),
    ...overrides,
  };
}

/** The world after the plan's changes; a placed pod has not been seen yet, and a removed one still is. */
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
    case "place":
      return placed(world, change);
    case "adopt":
      return {
        ...world,
        pods: world.pods.map((pod) =>
          pod.id === change.pod ? { ...pod, release: change.release } : pod,
        ),
      };
    case "remove":
      return {
        ...world,
        pods: world.pods.map((pod) =>
          pod.id === change.pod ? { ...pod, wanted: "gone", goneAtMs: world.nowMs } : pod,
        ),
      };
    case "roll":
      return moved("rolling");
    case "go-live":
      return moved("live");
    case "retire":
    case "supersede":
    case "cancel":
      return dropped();
    case "fail": {
      const failed = world.releases.find((it) => it.id === change.release);
      return { ...dropped(), held: failed?.autoRevert ? undefined : change.release };
    }
    case "wait":
    case "hold":
      return world;
  }
}

function placed(world: World, change: Extract<Change, { kind: "place" }>): World {
  const release = world.releases.find((it) => it.id === change.release);
  const node = world.nodes.find((it) => it.id === change.node);
  if (!release || !node) throw new Error("the plan names what the world does not have");
  const pod = { ...aPod(release, node), createdAtMs: world.nowMs, seen: undefined };
  const homes = release.demands.claims.map((it): [string, NodeId] => [it, node.id]);
  return {
    ...world,
    pods: [...world.pods, pod],
    volumes: new Map([...world.volumes, ...homes]),
  };
}

/** What a pod turns out to be, each time that its node looks: `undefined` is a pod that waits. */
export type Fate = (pod: PodView) => "ready" | "Succeeded" | "Failed" | undefined;

/** How the world goes on beside the plan. */
export type Laws = {
  readonly fate: Fate;
  /** By fingerprint, where pods are not like `demands()`. */
  readonly demands?: ReadonlyMap<string, Demands>;
  /** Nodes whose agents say nothing more. */
  readonly silent?: ReadonlySet<NodeId>;
  /** How long a pod takes to end; a round where it is not said. */
  readonly endsInMs?: number;
};

/** One round: agents report what they see, then the plan is carried out. */
export function round(world: World, laws: Laws): { world: World; changes: readonly Change[] } {
  const nowMs = world.nowMs + 10_000;
  const tenants = (node: NodeView) =>
    world.pods
      .filter((pod) => pod.node === node.id && !hasEnded(pod))
      .map((pod) => ({ pod: pod.id, demands: laws.demands?.get(pod.fingerprint) ?? demands() }));
  const empty = { tenants: [], used: { cpuMillis: 0, memoryBytes: 0, pods: 0 } };
  const isSilent = (id: NodeId) => laws.silent?.has(id) ?? false;
  const hasEnded = ({ seen, goneAtMs = nowMs }: PodView) =>
    seen?.status.phase === "Terminating" && nowMs - goneAtMs >= (laws.endsInMs ?? 0);
  const seen: World = {
    ...world,
    nowMs,
    nodes: world.nodes.map((node) => {
      const seenAtMs = isSilent(node.id) ? node.seenAtMs : nowMs;
      return tenants(node).reduce(withTenant, { ...node, ...empty, seenAtMs });
    }),
    pods: world.pods
      .filter((pod) => !hasEnded(pod))
      .map((pod) =>
        isSilent(pod.node) ? pod : { ...pod, seen: sighting(pod, laws.fate(pod), nowMs) },
      ),
  };
  const changes = planApp(seen);
  return { world: changes.reduce(apply, seen), changes };
}

function sighting(pod: PodView, fate: ReturnType<Fate>, nowMs: number): PodView["seen"] {
  if (pod.wanted === "gone")
    return { status: aStatus(pod.id, { phase: "Terminating" }), sinceMs: nowMs };
  const ready = fate === "ready";
  const phase = fate === "Succeeded" || fate === "Failed" ? fate : "Running";
  const before = pod.seen;
  const same = before && before.status.ready === ready && before.status.phase === phase;
  return { status: aStatus(pod.id, { ready, phase }), sinceMs: same ? before.sinceMs : nowMs };
}
