import { placementOf } from "../../contract/app/app-spec.ts";
import { durationMs } from "../../contract/document/units.ts";
import { type AppId, type NodeId, PodId, type ReleaseId } from "../../contract/ids.ts";
import { jsonBytes } from "../../contract/node/wish-size.ts";
import { demandsOf } from "../../contract/placement/demands.ts";
import { type Shared, strategyOf } from "../../contract/placement/strategy.ts";
import { fingerprintText, isSidecar, Pod } from "../../contract/pod/pod.ts";
import {
  type AppRow,
  activeReleases,
  clockMs,
  heldReleases,
  lockApps,
  type PodRow,
  type ReleaseRow,
  standingPods,
} from "../../db/apps/placements.ts";
import type { PodText } from "../../db/apps/pod-texts.ts";
import type { Tx } from "../../db/client.ts";
import { calmSince } from "../../db/nodes/control-plane.ts";
import { type Fleet, readFleet } from "../../db/nodes/fleet.ts";
import { versionKeys } from "../../db/nodes/wish-sizes.ts";
import { volumeHomes } from "../../db/volumes/homes.ts";
import { planNodes } from "../nodes/plan.ts";
import { podOf, sourceOf } from "./pod.ts";
import { refusedView } from "./refused.ts";
import type { Scene } from "./scene.ts";
import type { PodView, ReleaseView } from "./world.ts";

/**
 * A container that nobody asks is ready as soon as it runs, also one that ends a moment later. Most that
 * cannot work (a wrong command, a missing setting) end within this time; then its release proves nothing.
 */
const UNPROBED_SETTLE_MS = 3_000;

/** A release, what its pods are under some id, and how the plan looks at it. */
export type ReleaseSight = {
  readonly row: ReleaseRow;
  /** Undefined where none can be made: see refused.ts. */
  readonly pod: Pod | undefined;
  readonly view: ReleaseView;
};

/** What stands of one app, as it is in the database, and as the plan looks at it. */
export type AppSight = {
  readonly app: AppRow;
  readonly releases: ReadonlyMap<ReleaseId, ReleaseSight>;
  /** As in the plan's world. */
  readonly held: ReleaseId | undefined;
  readonly pods: ReadonlyMap<PodId, { readonly row: PodRow; readonly view: PodView }>;
};

export type Look = {
  readonly scene: Scene;
  /** Those that there are, in the order of their ids. */
  readonly apps: readonly AppSight[];
  /** Those that cannot be looked at, and why: what was stored of them is not what this version takes. */
  readonly failed: ReadonlyMap<AppId, unknown>;
};

/** Locks the apps, and reads all that their plans depend on, in the caller's transaction. */
export async function lookAt(tx: Tx, ids: readonly AppId[], replaceAfterMs: number): Promise<Look> {
  const rows = await lockApps(tx, ids);
  const nowMs = await clockMs(tx);
  const releases = Map.groupBy(await activeReleases(tx, ids), (it) => it.app);
  const held = await heldReleases(tx, ids);
  const pods = Map.groupBy(await standingPods(tx, ids), (it) => it.app);
  const projects = new Map(rows.map((it) => [it.id, it.projectId]));
  const frozen = [...releases].flatMap(([app, of]) => {
    const project = projects.get(app);
    return project ? of.map(({ materials }) => ({ project, materials })) : [];
  });
  const fleet = await readFleet(tx, frozen);
  const failed = new Map<AppId, unknown>();
  const apps = rows.flatMap((app) => {
    try {
      const stands = { releases: releases.get(app.id) ?? [], pods: pods.get(app.id) ?? [] };
      return [{ ...appSight(app, stands, fleet), held: held.get(app.id) }];
    } catch (error) {
      failed.set(app.id, error);
      return [];
    }
  });
  const claims = apps.flatMap(({ app, releases }) =>
    [...releases.values()].flatMap(({ view }) =>
      view.demands.claims.map((name) => ({ project: app.projectId, name })),
    ),
  );
  const calmSinceMs = await calmSince(tx);
  const { lost } = planNodes({ nowMs, calmSinceMs, replaceAfterMs, nodes: fleet.nodes });
  const homes = await volumeHomes(tx, claims);
  const positions = new Map(fleet.nodes.map(({ id }, at): [NodeId, number] => [id, at]));
  return { scene: { nowMs, lost: new Set(lost), ...fleet, positions, homes }, apps, failed };
}

function appSight(
  app: AppRow,
  { releases, pods }: { releases: readonly ReleaseRow[]; pods: readonly PodRow[] },
  { versions }: Fleet,
): Omit<AppSight, "held"> {
  const likenesses = new Map<PodText, Likeness>();
  const likenessOf = (text: PodText) => {
    const known = likenesses.get(text) ?? likeness(text.spec);
    likenesses.set(text, known);
    return known;
  };
  return {
    app,
    releases: new Map(releases.map((row) => [row.id, releaseSight(app, row, versions)])),
    pods: new Map(pods.map((row) => [row.id, { row, view: podView(row, likenessOf(row.text)) }])),
  };
}

function releaseSight(
  { project, projectId }: AppRow,
  row: ReleaseRow,
  sizes: Fleet["versions"],
): ReleaseSight {
  const { id, number, phase, phaseAt, spec, newPods, imageRepository, imageDigest } = row;
  if (!imageRepository || !imageDigest) throw new Error(`release ${id} is ${phase} without image`);
  const { nodeSelector, spreadBy } = placementOf(spec);
  const versions = versionKeys({ project: projectId, materials: row.materials });
  const wish = {
    door: row.httpPort !== null,
    materials: new Map(versions.map((it) => [it, sizes.get(it) ?? 0])),
  };
  const said = {
    ...{ id, number, phase, newPods, phaseAtMs: phaseAt.getTime(), source: sourceOf(spec) },
    ...{ replicas: spec.replicas, maxSurge: spec.rollout.maxSurge, spreadBy },
    progressDeadlineMs: durationMs(spec.rollout.progressDeadline) ?? 0,
    autoRevert: spec.rollout.autoRevert,
  };
  try {
    const pod = podOf({ ...row, project, imageRepository, imageDigest }, anyPod(id));
    const view = {
      ...said,
      restartPolicy: pod.spec.restartPolicy,
      settleMs: isProbed(pod) ? 0 : UNPROBED_SETTLE_MS,
      graceMs: graceMs(pod),
      demands: demandsOf(pod, nodeSelector),
      wish: { ...wish, textBytes: jsonBytes(pod) },
      fingerprint: fingerprintText(pod),
      exclusive: isExclusive(pod),
      refused: undefined,
    };
    return { row, pod, view };
  } catch (error) {
    // Whatever is wrong with it is this release's end, and no reason to leave the app's others alone.
    const asksNothing = { ...refusedView(id, error), wish: { ...wish, textBytes: 0 } };
    return { row, pod: undefined, view: { ...said, ...asksNothing, exclusive: spec.singleton } };
  }
}

function graceMs({ spec }: Pod): number {
  return spec.terminationGracePeriodSeconds * 1_000;
}

function isExclusive(pod: Shared): boolean {
  return strategyOf(pod).kind === "recreate";
}

/** Whether somebody asks each container that goes on running how it does, so that `ready` is an answer. */
function isProbed({ spec }: Pod): boolean {
  const working = [...spec.containers, ...spec.initContainers.filter(isSidecar)];
  return working.every((it) => it.readinessProbe !== undefined || it.startupProbe !== undefined);
}

/** An id for a pod that is only looked at: what is asked of it does not depend on its id. */
function anyPod(release: ReleaseId): PodId {
  return PodId.parse(release);
}

/** What pods of one text have in common. */
type Likeness = Pick<PodView, "fingerprint" | "exclusive" | "graceMs">;

function likeness(spec: Pod): Likeness {
  return {
    fingerprint: fingerprintOf(spec),
    exclusive: isExclusive(spec),
    graceMs: graceMs(spec),
  };
}

function podView(pod: PodRow, alike: Likeness): PodView {
  const { id, name, release, node, wanted, createdAt, goneAt, text, status, since } = pod;
  return {
    id,
    name,
    release,
    node,
    wanted,
    createdAtMs: createdAt.getTime(),
    goneAtMs: goneAt?.getTime(),
    textBytes: text.wireBytes,
    nodeSelector: text.demands.nodeSelector,
    ...alike,
    seen: status && since ? { status, sinceMs: since.getTime() } : undefined,
  };
}

/** As its agent takes it, which fills in the defaults of fields that came after the pod was made. */
function fingerprintOf(stored: Pod): string {
  const pod = Pod.safeParse(stored);
  return pod.success ? fingerprintText(pod.data) : "";
}
