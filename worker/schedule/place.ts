import type { NodeId, PodId, ReleaseId } from "../../contract/ids.ts";
import { canTake, withoutTenant, withTenant } from "./filter.ts";
import { best } from "./score.ts";
import { withPart } from "./wish.ts";
import type { NodeView, PodView, ReleaseView, Surroundings, World } from "./world.ts";

export type Placing =
  | { readonly kind: "place"; readonly release: ReleaseId; readonly node: NodeId }
  | { readonly kind: "wait"; readonly release: ReleaseId; readonly why: string };

/** Places up to `count` pods, each counted against its node for the next; says why where none fits. */
export function place(
  world: Surroundings,
  release: ReleaseView,
  count: number,
  wanted: readonly PodView[],
): readonly Placing[] {
  const changes: Placing[] = [];
  const taken = wanted.filter((pod) => pod.release === release.id).map((pod) => pod.node);
  let around: Surroundings = world;
  for (let placed = 0; placed < count; placed++) {
    const verdicts = around.nodes.map((node) => ({
      node,
      verdict: canTake(node, release, around),
    }));
    const fitting = verdicts.filter((it) => it.verdict.fits).map((it) => it.node);
    const node = best(fitting, taken);
    if (!node) {
      const why = verdicts.flatMap(({ verdict }) => (verdict.fits ? [] : [verdict.why])).join("; ");
      return [
        ...changes,
        { kind: "wait", release: release.id, why: why || "no node has joined yet" },
      ];
    }
    changes.push({ kind: "place", release: release.id, node: node.id });
    taken.push(node.id);
    around = withPodOn(around, node.id, release);
  }
  return changes;
}

/**
 * Where a new pod fits nowhere: the old pod that alone stands in its way. It holds a host port that the
 * new one asks for, is one that the new one shuns, or takes the room on the only node that has the new
 * one's volume. Undefined where the going of one would not help, or would only make room: then the new
 * one waits, and the old ones serve.
 */
export function standsInTheWay(
  world: World,
  release: ReleaseView,
  old: readonly PodView[],
): PodView | undefined {
  const room = release.demands.claims.some((it) => world.volumes.get(it) !== undefined);
  return old.find((pod) => {
    const node = world.nodes.find((it) => it.id === pod.node);
    const tenant = node?.tenants.find((it) => it.pod === pod.id);
    if (!node || !tenant) return false;
    return canTake(withoutTenant(node, tenant, { room }), release, world).fits;
  });
}

function withPodOn(
  around: Surroundings,
  node: NodeId,
  { demands, wish }: ReleaseView,
): Surroundings {
  const tenant = { pod: undefined as PodId | undefined, demands };
  const claimed = demands.claims.map((it): [string, NodeId] => [it, node]);
  const withPod = (it: NodeView) => ({
    ...withTenant(it, tenant),
    wish: withPart(it.wish, wish),
  });
  return {
    ...around,
    nodes: around.nodes.map((it) => (it.id === node ? withPod(it) : it)),
    volumes: new Map([...around.volumes, ...claimed]),
  };
}
