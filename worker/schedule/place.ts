import type { NodeId, PodId, ReleaseId } from "../../contract/ids.ts";
import { canTake, unknownPods, withoutTenant } from "../../contract/placement/filter.ts";
import { findPlaces, waitingWords } from "../../contract/placement/find-places.ts";
import { nodeOf, type Surroundings } from "../../contract/placement/node-view.ts";
import type { PodView, ReleaseView, World } from "./world.ts";

export type Placing =
  | { readonly kind: "place"; readonly release: ReleaseId; readonly node: NodeId }
  | { readonly kind: "wait"; readonly release: ReleaseId; readonly why: string };

/** In words, what helps a release of which no pod can be made. */
export function refusal(why: string): string {
  return `its spec is not accepted any more (${why}); declare the app anew`;
}

/** Places up to `count` pods of a release beside its wanted ones; says why where none fits. */
export function place(
  world: Surroundings,
  release: ReleaseView,
  count: number,
  wanted: readonly PodView[],
): readonly Placing[] {
  if (release.refused !== undefined)
    return [{ kind: "wait", release: release.id, why: refusal(release.refused) }];
  const unknown = release.exclusive ? unknownPods(world.nodes) : undefined;
  if (unknown !== undefined) return [{ kind: "wait", release: release.id, why: unknown }];
  const taken = wanted.filter((pod) => pod.release === release.id).map((pod) => pod.node);
  return findPlaces(world, release, count, taken).map((it) =>
    it.kind === "place"
      ? { kind: "place", release: release.id, node: it.node }
      : { kind: "wait", release: release.id, why: waitingWords(it.against) },
  );
}

/** The world once these pods have ended. */
export function withoutPods(world: World, pods: readonly PodView[]): World {
  const ids = new Set<PodId | undefined>(pods.map((pod) => pod.id));
  const nodes = world.nodes.map((node) =>
    node.tenants
      .filter((it) => ids.has(it.pod))
      .reduce((rest, it) => withoutTenant(rest, it, { room: true }), node),
  );
  return { ...world, nodes };
}

/**
 * Where a new pod fits nowhere: the old pod that alone stands in its way. It holds a host port that the
 * new one asks for, is one that the new one shuns, or takes the room on the only node that has the new
 * one's volume; with `room`, or takes room anywhere. Undefined where the going of one would not help, or
 * would only make room: then the new one waits, and the old ones serve.
 */
export function standsInTheWay(
  world: World,
  release: ReleaseView,
  old: readonly PodView[],
  { room } = { room: isBound(world, release) },
): PodView | undefined {
  if (release.refused !== undefined) return undefined;
  return old.find((pod) => {
    const node = nodeOf(world.nodes, pod.node);
    const tenant = node?.tenants.find((it) => it.pod === pod.id);
    if (!node || !tenant) return false;
    return canTake(withoutTenant(node, tenant, { room }), release, world).fits;
  });
}

/** Its pods have one node to go to, where they have a volume. */
function isBound({ volumes }: World, { demands }: ReleaseView): boolean {
  return demands.claims.some((it) => volumes.get(it) !== undefined);
}
