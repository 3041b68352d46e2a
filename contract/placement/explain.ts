import type { NodeId, PodId } from "../ids.ts";
import { unknownPods, withoutTenant } from "./filter.ts";
import { named, withPodOn } from "./find-places.ts";
import { type Judge, type Judged, judgeOf } from "./judge.ts";
import type { Asked, NodeView, Surroundings } from "./node-view.ts";
import { chosenOf, type Spread, spreadOf } from "./score.ts";
import type { Strategy } from "./strategy.ts";

/* Where pods are, and would come to be, in words with numbers: what the worker decides by, asked once more. */

/**
 * Why a pod is on this node, by what stands today and without the pod itself in `around`; `judge` is of what
 * it asks for, and `spread` of its app's other pods.
 */
export function whyThere(
  judge: Judge,
  around: Surroundings,
  node: NodeView,
  spread: Spread,
): string {
  const judged = judge(around);
  const own = judged.find((it) => it.node.id === node.id)?.verdict;
  if (own?.fits === false) return `it runs on there, and would not be placed there now: ${own.why}`;
  return inWords(judged, node, chosenOf(fittingOf(judged), spread));
}

/** Why this node, which can take the pod, and what is against others. */
function inWords(
  judged: readonly Judged[],
  node: NodeView,
  chosen: ReturnType<typeof chosenOf>,
): string {
  const against = againstIn(judged);
  const count = judged.length - against.length;
  return [choice(count, node, chosen), ...named(against)].join("; ");
}

function choice(count: number, node: NodeView, chosen: ReturnType<typeof chosenOf>): string {
  if (count === 1) return "the only node that can take it";
  return chosen?.node.id === node.id
    ? `of ${count} nodes that can take it ${chosen.why}`
    : `it stays where it is; of ${count} nodes that can take it, ${chosen?.node.name} would be chosen now`;
}

function fittingOf(judged: readonly Judged[]): readonly NodeView[] {
  return judged.filter(({ verdict }) => verdict.fits).map(({ node }) => node);
}

function againstIn(judged: readonly Judged[]): readonly string[] {
  return judged.flatMap(({ verdict }) => (verdict.fits ? [] : [verdict.why]));
}

/** What is to come: so many pods beside those that stay, in place of the old ones. */
export type Coming = {
  readonly count: number;
  readonly strategy: Strategy;
  /** The nodes of the pods that stay. */
  readonly staying: readonly NodeId[];
  /** The pods that leave: one for each new one, or all of them before the first. */
  readonly old: readonly Standing[];
};

export type Forecast = {
  readonly placed: readonly { readonly node: string; readonly why: string }[];
  /** How many find no place: why that is so of all nodes, or what is against each, empty where there is none. */
  readonly waiting:
    | { readonly pods: number; readonly why?: string; readonly against: readonly string[] }
    | undefined;
};

/** Where pods would go if nothing else changed meanwhile; one after the other, as a rollout would. */
export function forecast(world: Surroundings, asked: Asked, coming: Coming): Forecast {
  const { count, strategy, staying, old } = coming;
  const allAtOnce = strategy.kind === "recreate";
  const unknown = allAtOnce && count > 0 ? unknownPods(world.nodes) : undefined;
  if (unknown !== undefined)
    return { placed: [], waiting: { pods: count, why: unknown, against: [] } };
  const leaving = allAtOnce ? [] : [...old];
  let around = allAtOnce ? old.reduce(withoutPod, world) : world;
  const spread = spreadOf(world.nodes, asked.spreadBy, staying);
  const judge = judgeOf(asked);
  const placed: Forecast["placed"][number][] = [];
  while (placed.length < count) {
    const judged = judge(around);
    const chosen = chosenOf(fittingOf(judged), spread);
    if (chosen === undefined) {
      const pods = count - placed.length;
      return { placed, waiting: { pods, against: againstIn(judged) } };
    }
    const { node } = chosen;
    placed.push({ node: node.name, why: inWords(judged, node, chosen) });
    spread.add(node);
    around = withPodOn(around, node.id, asked);
    const next = leaving.shift();
    if (next) around = withoutPod(around, next);
  }
  return { placed, waiting: undefined };
}

/** A pod, and the one node that it is on. */
export type Standing = { readonly id: PodId; readonly node: NodeId };

/** The same without this pod. */
export function withoutPod(around: Surroundings, pod: Standing): Surroundings {
  const nodes = around.nodes.map((node) => {
    if (node.id !== pod.node) return node;
    const tenant = node.tenants.find((it) => it.pod === pod.id);
    return tenant ? withoutTenant(node, tenant, { room: true }) : node;
  });
  return { ...around, nodes };
}
