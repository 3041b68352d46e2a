import { durationMs } from "../../contract/document/units.ts";
import { PodId, type ReleaseId } from "../../contract/ids.ts";
import { jsonBytes } from "../../contract/node/wish-size.ts";
import { fingerprintText, isSidecar, Pod } from "../../contract/pod/pod.ts";
import {
  type AppRow,
  activeReleases,
  allNodes,
  type NodeRow,
  type PodRow,
  podsOfApp,
  podsTakingRoom,
  type ReleaseRow,
  type TenantRow,
} from "../../db/apps/placements.ts";
import type { Tx } from "../../db/client.ts";
import {
  versionKeys,
  type WishSize,
  type WishSizes,
  wishSizes,
} from "../../db/nodes/wish-sizes.ts";
import { volumeHomes } from "../../db/volumes/homes.ts";
import { demandsOf } from "./demands.ts";
import { withTenant } from "./filter.ts";
import { podOf, sourceOf } from "./pod.ts";
import { NOTHING_TOLD } from "./wish.ts";
import type { NodeView, PodView, ReleaseView, World } from "./world.ts";

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
export async function lookAt(tx: Tx, app: AppRow): Promise<Snapshot> {
  const releases = await activeReleases(tx, app.id);
  const pods = await podsOfApp(tx, app.id);
  const nodes = await allNodes(tx);
  const tenants = Map.groupBy(await podsTakingRoom(tx), (it) => it.node);
  const frozen = releases.map((it) => ({ project: app.projectId, materials: it.materials }));
  const told = await wishSizes(tx, frozen);
  const views = releases.map((it) => releaseView(app, it, told.versions));
  const claims = views.flatMap((it) => it.demands.claims);
  const world = {
    nowMs: app.nowMs,
    appDeleted: app.deleted,
    releases: views,
    pods: pods.map(podView),
    nodes: nodes.map((node) => nodeView(node, tenants.get(node.id) ?? [], told.nodes.get(node.id))),
    volumes: await volumeHomes(tx, app.projectId, claims),
  };
  return { app, releases, pods, nodes, world };
}

function releaseView(
  { project, projectId }: AppRow,
  release: ReleaseRow,
  sizes: WishSizes["versions"],
): ReleaseView {
  const { id, number, phase, phaseAt, spec, newPods } = release;
  const pod = podOf({ ...release, project }, anyPod(id));
  const versions = versionKeys({ project: projectId, materials: release.materials });
  return {
    id,
    number,
    phase,
    phaseAtMs: phaseAt.getTime(),
    source: sourceOf(spec),
    restartPolicy: pod.spec.restartPolicy,
    replicas: spec.replicas,
    maxSurge: spec.rollout.maxSurge,
    progressDeadlineMs: durationMs(spec.rollout.progressDeadline) ?? 0,
    settleMs: isProbed(pod) ? 0 : UNPROBED_SETTLE_MS,
    demands: demandsOf(pod),
    wish: {
      textBytes: jsonBytes(pod),
      materials: new Map(versions.map((it) => [it, sizes.get(it) ?? 0])),
    },
    fingerprint: fingerprintText(pod),
    newPods,
  };
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
    seen: status && since ? { status, sinceMs: since.getTime() } : undefined,
  };
}

/** As its agent takes it, which fills in the defaults of fields that came after the pod was made. */
function fingerprintOf(stored: Pod): string {
  const pod = Pod.safeParse(stored);
  return pod.success ? fingerprintText(pod.data) : "";
}

function nodeView(
  node: NodeRow,
  tenants: readonly TenantRow[],
  told: WishSize | undefined,
): NodeView {
  const empty: NodeView = {
    id: node.id,
    name: node.name,
    labels: node.labels,
    handlers: node.handlers ?? [],
    cordoned: node.cordoned,
    seenAtMs: node.seenAt?.getTime() ?? 0,
    allocatable: node.capacity ?? { cpuMillis: 0, memoryBytes: 0, pods: 0 },
    tenants: [],
    used: { cpuMillis: 0, memoryBytes: 0, pods: 0 },
    wish: told ?? NOTHING_TOLD,
  };
  return tenants.reduce(
    (view, { pod, spec }) => withTenant(view, { pod, demands: demandsOf(spec) }),
    empty,
  );
}
