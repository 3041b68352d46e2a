import { agentSkew, isLater } from "../../contract/node/skew.ts";
import { nodeOf } from "../../contract/placement/node-view.ts";
import { isProven } from "./condition.ts";
import type { Change } from "./plan.ts";
import type { PodView, ReleaseView, World } from "./world.ts";

/** In words, the node that a pod waits for since its agent may not take it, or says nothing that is read. */
export function untold({ nodes }: Pick<World, "nodes">, pod: PodView): string | undefined {
  const node = nodeOf(nodes, pod.node);
  if (!node || (pod.seen && !isLater(node.protocol))) return undefined;
  const skew = agentSkew(node.protocol);
  return skew && `node ${node.name}: ${skew}`;
}

/** Why a rollout waits though its pods have places; nothing where a change says already what it waits for. */
export function waitsForAgents(
  world: World,
  target: ReleaseView,
  fresh: readonly PodView[],
  changes: readonly Change[],
): readonly Change[] {
  if (changes.some((it) => it.kind === "wait" || it.kind === "hold")) return [];
  for (const pod of fresh) {
    const why = isProven(world, target, pod) ? undefined : untold(world, pod);
    if (why !== undefined)
      return [{ kind: "hold", release: target.id, why: `pod ${pod.name} waits for ${why}` }];
  }
  return [];
}
