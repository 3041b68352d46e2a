import type { NodeId } from "../../contract/ids.ts";
import { withPod } from "../../contract/placement/find-places.ts";
import type { NodeView, Tenant } from "../../contract/placement/node-view.ts";
import { withPart } from "../../contract/placement/wish.ts";
import type { Fleet } from "../../db/nodes/fleet.ts";
import type { Homes } from "../../db/volumes/homes.ts";
import type { AppSight } from "./look.ts";
import type { Change } from "./plan.ts";
import type { PodView, ReleaseView, World } from "./world.ts";

/** What stands around all the apps of one pass. */
export type Scene = Pick<Fleet, "nodes" | "generations"> & {
  readonly nowMs: number;
  /** Nodes that are given up: see nodes/plan.ts. */
  readonly lost: ReadonlySet<NodeId>;
  /** Where in `nodes` each is. */
  readonly positions: ReadonlyMap<NodeId, number>;
  readonly homes: Homes;
};

/** What one app's plan looks at. */
export function worldOf(scene: Scene, { app, releases, held, pods }: AppSight): World {
  return {
    nowMs: scene.nowMs,
    lost: scene.lost,
    nodes: scene.nodes,
    volumes: scene.homes.get(app.projectId) ?? new Map(),
    appDeleted: app.deleted,
    releases: [...releases.values()].map((it) => it.view),
    held,
    pods: [...pods.values()].map((it) => it.view),
  };
}

/**
 * What the next app's plan is to look at, once these changes of `sight` are made. A pod that leaves stays in
 * it: it takes its room until its node says otherwise.
 */
export function sceneAfter(scene: Scene, sight: AppSight, changes: readonly Change[]): Scene {
  const nodes = [...scene.nodes];
  const homes = new Map(scene.homes.get(sight.app.projectId));
  for (const change of changes) {
    if (change.kind !== "place" && change.kind !== "adopt") continue;
    const release = sight.releases.get(change.release)?.view;
    const pod = change.kind === "adopt" ? sight.pods.get(change.pod)?.view : undefined;
    const id = change.kind === "place" ? change.node : pod?.node;
    const at = id === undefined ? -1 : (scene.positions.get(id) ?? -1);
    const node = nodes[at];
    if (!release || !id || !node) continue;
    nodes[at] = pod ? withAdopted(node, pod, release) : withPod(node, release);
    for (const claim of release.demands.claims) homes.set(claim, id);
  }
  return { ...scene, nodes, homes: new Map([...scene.homes, [sight.app.projectId, homes]]) };
}

/** It asks for what it asked for, under other labels, and its node is told of it anew. */
function withAdopted(node: NodeView, pod: PodView, release: ReleaseView): NodeView {
  const { demands } = release;
  const tenants = node.tenants.map((it): Tenant => (it.pod === pod.id ? { ...it, demands } : it));
  const { bytes, materials } = withPart(node.wish, release.wish);
  return { ...node, tenants, wish: { ...node.wish, bytes: bytes - pod.textBytes, materials } };
}
