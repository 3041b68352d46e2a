import { randomUUID } from "node:crypto";
import { AppId, type NodeId, PodId, type ReleaseId } from "../../contract/ids.ts";
import { bytes, cpuMillis, durationMs } from "../../contract/units.ts";
import type { Db, Tx } from "../../db/client.ts";
import { record } from "../../db/events.ts";
import {
  type AppRow,
  activeReleases,
  addPod,
  allNodes,
  cancelUnbuilt,
  lockApp,
  movePhase,
  type NodeRow,
  type PhaseChange,
  PlanOutdated,
  type PodRow,
  podsOfApp,
  podsTakingRoom,
  type ReleaseRow,
  raiseGeneration,
  recordWaiting,
  removePod,
} from "../../db/placements.ts";
import { type Change, planApp } from "./plan.ts";
import { podOf, requestsOf } from "./pod.ts";
import type { Amounts, NodeView, PodView, ReleaseView } from "./world.ts";

const MAX_REPLANS = 10;

/** One look at one app: what stands, what the plan says, all of it in one transaction or nothing. */
export async function scheduleApp(db: Db, subject: string): Promise<void> {
  const app = AppId.parse(subject);
  for (let replans = 0; ; replans++) {
    try {
      await db.transaction((tx) => pass(tx, app));
      return;
    } catch (error) {
      if (!(error instanceof PlanOutdated) || replans >= MAX_REPLANS) throw error;
    }
  }
}

type Snapshot = {
  readonly app: AppRow;
  readonly releases: ReadonlyMap<ReleaseId, ReleaseRow>;
  readonly pods: ReadonlyMap<PodId, PodRow>;
  readonly nodes: ReadonlyMap<NodeId, NodeRow>;
};

async function pass(tx: Tx, id: AppId): Promise<void> {
  const app = await lockApp(tx, id);
  if (!app) return;
  if (app.deleted) await cancelUnbuilt(tx, id, DELETION);
  const [releases, pods, nodes, takingRoom] = [
    await activeReleases(tx, id),
    await podsOfApp(tx, id),
    await allNodes(tx),
    await podsTakingRoom(tx),
  ];
  const snapshot: Snapshot = {
    app,
    releases: new Map(releases.map((it) => [it.id, it])),
    pods: new Map(pods.map((it) => [it.id, it])),
    nodes: new Map(nodes.map((it) => [it.id, it])),
  };
  const changes = planApp({
    nowMs: Date.now(),
    appDeleted: app.deleted,
    releases: releases.map(releaseView),
    pods: pods.map(podView),
    nodes: nodes.map((node) => nodeView(node, takingRoom)),
  });
  await carryOut(tx, snapshot, changes);
}

async function carryOut(tx: Tx, snapshot: Snapshot, changes: readonly Change[]): Promise<void> {
  const touched = new Set<NodeId>();
  for (const change of changes) {
    const node = await executors[change.kind](tx, snapshot, change as never);
    if (node) touched.add(node);
  }
  for (const id of [...touched].toSorted()) {
    await raiseGeneration(tx, id, wanted(snapshot.nodes, id).generation);
  }
}

/** What each kind of change writes; answers the node whose wish it changed, if it did. */
type Executors = {
  readonly [Kind in Change["kind"]]: (
    tx: Tx,
    snapshot: Snapshot,
    change: Extract<Change, { kind: Kind }>,
  ) => Promise<NodeId | undefined>;
};

const executors: Executors = {
  place: async (tx, { app, releases, nodes }, change) => {
    const { number, spec, imageRepository, imageDigest } = wanted(releases, change.release);
    const id = PodId.parse(randomUUID());
    const pod = podOf({
      id,
      project: app.project,
      release: number,
      spec,
      imageRepository,
      imageDigest,
    });
    await addPod(tx, { app: app.id, release: change.release, node: change.node, spec: pod });
    const where = wanted(nodes, change.node).name;
    const message = `pod ${pod.metadata.name} goes to node ${where}`;
    await record(tx, { app: app.id, release: change.release, type: "pod-placed", message });
    return change.node;
  },
  remove: async (tx, { app, pods }, change) => {
    const pod = wanted(pods, change.pod);
    await removePod(tx, change.pod);
    const message = `pod ${pod.spec.metadata.name} leaves: ${REMOVAL_WORDS[change.because]}`;
    await record(tx, { app: app.id, release: pod.release, type: "pod-removed", message });
    return pod.node;
  },
  wait: async (tx, { app }, change) => {
    await recordWaiting(tx, app.id, change.release, `no node can take the pod: ${change.why}`);
    return undefined;
  },
  roll: (tx, { app }, { release }) =>
    move(tx, { app: app.id, release, to: "rolling", message: "rolling out" }),
  "go-live": (tx, { app }, { release }) =>
    move(tx, { app: app.id, release, to: "live", message: "live" }),
  retire: (tx, { app }, { release }) =>
    move(tx, { app: app.id, release, to: "retired", message: "retired" }),
  supersede: (tx, { app }, { release, by }) => {
    const message = `release ${by} is newer`;
    return move(tx, {
      app: app.id,
      release,
      to: "superseded",
      message,
      because: { supersededBy: by },
    });
  },
  cancel: (tx, { app }, { release }) => {
    const because = { cancelledBy: DELETION };
    return move(tx, {
      app: app.id,
      release,
      to: "cancelled",
      message: `cancelled by ${DELETION}`,
      because,
    });
  },
  fail: (tx, { app }, { release, failure }) => {
    const because = { failure };
    return move(tx, { app: app.id, release, to: "failed", message: failure.message, because });
  },
};

/** A release that moves on changes no node's wish by itself. */
async function move(tx: Tx, change: PhaseChange): Promise<undefined> {
  await movePhase(tx, change);
}

const DELETION = "the deletion of the app";
const REMOVAL_WORDS = {
  "app-deleted": "the app was deleted",
  "old-release": "a newer release takes its place",
  "release-failed": "its release failed",
  surplus: "fewer pods are asked for",
} as const;

function releaseView({ id, number, phase, phaseAt, spec }: ReleaseRow): ReleaseView {
  return {
    id,
    number,
    phase,
    phaseAtMs: phaseAt.getTime(),
    replicas: spec.replicas,
    maxSurge: spec.rollout.maxSurge,
    progressDeadlineMs: durationMs(spec.rollout.progressDeadline) ?? 0,
    requests: requestsOf(spec),
  };
}

function podView({ id, release, node, wanted, spec, status, since }: PodRow): PodView {
  const seen = status && since ? { status, sinceMs: since.getTime() } : undefined;
  return { id, name: spec.metadata.name, release, node, wanted, seen };
}

function nodeView(node: NodeRow, takingRoom: Awaited<ReturnType<typeof podsTakingRoom>>): NodeView {
  const used = takingRoom
    .filter((pod) => pod.node === node.id)
    .flatMap((pod) => pod.spec.spec.containers)
    .reduce<Amounts>(
      (sum, { resources: { requests } }) => ({
        cpuMillis: sum.cpuMillis + (cpuMillis(requests.cpu) ?? 0),
        memoryBytes: sum.memoryBytes + (bytes(requests.memory) ?? 0),
        pods: sum.pods + 1,
      }),
      { cpuMillis: 0, memoryBytes: 0, pods: 0 },
    );
  return {
    id: node.id,
    name: node.name,
    cordoned: node.cordoned,
    seenAtMs: node.seenAt?.getTime() ?? 0,
    allocatable: node.capacity ?? { cpuMillis: 0, memoryBytes: 0, pods: 0 },
    used,
  };
}

function wanted<K, V>(map: ReadonlyMap<K, V>, key: K): V {
  const value = map.get(key);
  if (value === undefined)
    throw new Error(`the plan names ${String(key)}, which its world did not hold`);
  return value;
}
