import { durationMs } from "../../contract/document/units.ts";
import { PodId, type ReleaseId } from "../../contract/ids.ts";
import { jsonBytes } from "../../contract/node/wish-size.ts";
import { demandsOf } from "../../contract/placement/demands.ts";
import { type Shared, strategyOf } from "../../contract/placement/strategy.ts";
import { fingerprintText, isSidecar, Pod } from "../../contract/pod/pod.ts";
import {
  type AppRow,
  activeReleases,
  type NodeRow,
  type PodRow,
  podsOfApp,
  type ReleaseRow,
} from "../../db/apps/placements.ts";
import type { Tx } from "../../db/client.ts";
import { calmSince } from "../../db/nodes/control-plane.ts";
import { lookAtNodes } from "../../db/nodes/node-views.ts";
import { versionKeys, type WishSizes, wishSizes } from "../../db/nodes/wish-sizes.ts";
import { volumeHomes } from "../../db/volumes/homes.ts";
import { planNodes } from "../nodes/plan.ts";
import { podOf, sourceOf } from "./pod.ts";
import { refusedView } from "./refused.ts";
import type { PodView, ReleaseView, World } from "./world.ts";

/**
 * A container that nobody asks is ready as soon as it runs, also one that ends a moment later. Most that
 * cannot work (a wrong command, a missing setting) end within this time; then its release proves nothing.
 */
const UNPROBED_SETTLE_MS = 3_000;

/** What stands, as it is in the database, and as the plan looks at it. */
export type Snapshot = {
  readonly app: AppRow;
  readonly releases: readonly ReleaseRow[];
  readonly pods: readonly PodRow[];
  readonly nodes: readonly NodeRow[];
  readonly world: World;
};

/** Reads all that the plan of one app depends on, in the caller's transaction. */
export async function lookAt(tx: Tx, app: AppRow, replaceAfterMs: number): Promise<Snapshot> {
  const releases = await activeReleases(tx, app.id);
  const pods = await podsOfApp(tx, app.id);
  const frozen = releases.map((it) => ({ project: app.projectId, materials: it.materials }));
  const told = await wishSizes(tx, frozen);
  const nodes = await lookAtNodes(tx, told.nodes);
  const views = releases.map((it) => releaseView(app, it, told.versions));
  const claims = views.flatMap((it) => it.demands.claims);
  const calmSinceMs = await calmSince(tx);
  const { lost } = planNodes({ nowMs: app.nowMs, calmSinceMs, replaceAfterMs, nodes: nodes.views });
  const world = {
    lost: new Set(lost),
    nowMs: app.nowMs,
    appDeleted: app.deleted,
    releases: views,
    pods: pods.map(podView),
    nodes: nodes.views,
    volumes: await volumeHomes(tx, app.projectId, claims),
  };
  return { app, releases, pods, nodes: nodes.rows, world };
}

function releaseView(
  { project, projectId }: AppRow,
  release: ReleaseRow,
  sizes: WishSizes["versions"],
): ReleaseView {
  const { id, number, phase, phaseAt, spec, newPods } = release;
  const versions = versionKeys({ project: projectId, materials: release.materials });
  const materials = new Map(versions.map((it) => [it, sizes.get(it) ?? 0]));
  const said = {
    ...{ id, number, phase, newPods, phaseAtMs: phaseAt.getTime(), source: sourceOf(spec) },
    ...{ replicas: spec.replicas, maxSurge: spec.rollout.maxSurge },
    progressDeadlineMs: durationMs(spec.rollout.progressDeadline) ?? 0,
  };
  try {
    const pod = podOf({ ...release, project }, anyPod(id));
    return {
      ...said,
      restartPolicy: pod.spec.restartPolicy,
      settleMs: isProbed(pod) ? 0 : UNPROBED_SETTLE_MS,
      demands: demandsOf(pod),
      wish: { textBytes: jsonBytes(pod), materials },
      fingerprint: fingerprintText(pod),
      exclusive: isExclusive(pod),
      refused: undefined,
    };
  } catch (error) {
    // Whatever is wrong with it is this release's end, and no reason to leave the app's others alone.
    const wish = { textBytes: 0, materials };
    return { ...said, ...refusedView(id, error), wish, exclusive: spec.singleton };
  }
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

function podView(pod: PodRow): PodView {
  const { id, release, node, wanted, spec, createdAt, textBytes, status, since } = pod;
  return {
    id,
    name: spec.metadata.name,
    release,
    node,
    wanted,
    createdAtMs: createdAt.getTime(),
    fingerprint: fingerprintOf(spec),
    textBytes,
    exclusive: isExclusive(spec),
    seen: status && since ? { status, sinceMs: since.getTime() } : undefined,
  };
}

/** As its agent takes it, which fills in the defaults of fields that came after the pod was made. */
function fingerprintOf(stored: Pod): string {
  const pod = Pod.safeParse(stored);
  return pod.success ? fingerprintText(pod.data) : "";
}
