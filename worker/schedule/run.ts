import { randomUUID } from "node:crypto";
import { AppId, type NodeId, PodId } from "../../contract/ids.ts";
import { demandsOf } from "../../contract/placement/demands.ts";
import {
  addPod,
  adoptPod,
  cancelUnbuilt,
  lockApp,
  movePhase,
  type PhaseChange,
  PlanOutdated,
  raiseGeneration,
  recordWaiting,
  removePod,
} from "../../db/apps/placements.ts";
import type { Db, Tx } from "../../db/client.ts";
import { record } from "../../db/events.ts";
import { renewRoutesTo } from "../../db/nodes/routes.ts";
import { bindVolumes } from "../../db/volumes/homes.ts";
import { nextProofMs } from "./condition.ts";
import { lookAt, type Snapshot } from "./look.ts";
import { type Change, planApp, type RemovalReason } from "./plan.ts";
import { podOf } from "./pod.ts";

const MAX_REPLANS = 10;
const REPLACE_AFTER_MS = 300_000;

/**
 * One look at one app: what stands, what the plan says, all of it in one transaction or nothing. Answers
 * in how many ms another look may find more, if nothing but time is missing.
 */
export async function scheduleApp(
  db: Db,
  subject: string,
  { replaceAfterMs } = { replaceAfterMs: REPLACE_AFTER_MS },
): Promise<number | undefined> {
  const app = AppId.parse(subject);
  for (let replans = 0; ; replans++) {
    try {
      return await db.transaction((tx) => pass(tx, app, replaceAfterMs));
    } catch (error) {
      if (!(error instanceof PlanOutdated) || replans >= MAX_REPLANS) throw error;
    }
  }
}

async function pass(tx: Tx, id: AppId, replaceAfterMs: number): Promise<number | undefined> {
  const app = await lockApp(tx, id);
  if (!app) return undefined;
  if (app.deleted) await cancelUnbuilt(tx, id, DELETION);
  const snapshot = await lookAt(tx, app, replaceAfterMs);
  await carryOut(tx, snapshot, planApp(snapshot.world));
  return nextProofMs(snapshot.world);
}

async function carryOut(tx: Tx, snapshot: Snapshot, changes: readonly Change[]): Promise<void> {
  const touched = new Set<NodeId>();
  for (const change of changes) {
    const node = await executors[change.kind](tx, snapshot, change as never);
    // One that was removed since has nobody to be told.
    if (node && snapshot.nodes.some((it) => it.id === node)) touched.add(node);
  }
  for (const id of [...touched].toSorted()) {
    await raiseGeneration(tx, id, named(snapshot.nodes, id).generation);
  }
  if (touched.size > 0) await renewRoutesTo(tx, snapshot.app.id);
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
    const release = named(releases, change.release);
    const pod = podOf({ ...release, project: app.project }, PodId.parse(randomUUID()));
    await bindVolumes(tx, app.projectId, demandsOf(pod).claims, change.node);
    await addPod(tx, { app: app.id, release: change.release, node: change.node, spec: pod });
    const where = named(nodes, change.node).name;
    const message = `pod ${pod.metadata.name} goes to node ${where}`;
    await record(tx, { app: app.id, release: change.release, type: "pod-placed", message });
    return change.node;
  },
  adopt: async (tx, { app, releases, pods }, change) => {
    const release = named(releases, change.release);
    const { spec: running, node } = named(pods, change.pod);
    const { name } = running.metadata;
    const asked = podOf({ ...release, project: app.project }, change.pod);
    const spec = { ...asked, metadata: { ...asked.metadata, name } };
    await adoptPod(tx, { id: change.pod, release: change.release, spec });
    const message = `pod ${name} stays: release ${release.number} asks for the same`;
    await record(tx, { app: app.id, release: change.release, type: "pod-adopted", message });
    return node;
  },
  remove: async (tx, { app, pods, nodes }, change) => {
    const pod = named(pods, change.pod);
    const node = nodes.find((it) => it.id === pod.node);
    await removePod(tx, change.pod, node && node.generation + 1);
    const message = `pod ${pod.spec.metadata.name} leaves: ${REMOVAL_WORDS[change.because]}`;
    await record(tx, { app: app.id, release: pod.release, type: "pod-removed", message });
    return pod.node;
  },
  wait: async (tx, { app }, change) => {
    await recordWaiting(tx, app.id, change.release, `no node can take the pod: ${change.why}`);
    return undefined;
  },
  hold: async (tx, { app }, change) => {
    await recordWaiting(tx, app.id, change.release, change.why);
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
const REMOVAL_WORDS: Readonly<Record<RemovalReason, string>> = {
  "app-deleted": "the app was deleted",
  "old-release": "another release takes its place",
  "in-the-way": "the pod of a newer release cannot stand beside it",
  "release-failed": "its release failed",
  surplus: "fewer pods are asked for",
  "node-lost": "its node was silent for too long, and others took its place",
  "node-drained": "its node is drained",
  "node-fenced": "its node was fenced",
};

function named<Id, T extends { readonly id: Id }>(rows: readonly T[], id: Id): T {
  const row = rows.find((it) => it.id === id);
  if (row === undefined)
    throw new Error(`the plan names ${String(id)}, which its world did not hold`);
  return row;
}
