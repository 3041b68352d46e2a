import type { NodeId, PodId } from "../ids.ts";
import { verdictOn, withoutTenant } from "./filter.ts";
import { findPlaces, named, withPodOn } from "./find-places.ts";
import { beginnings } from "./neighbours.ts";
import type { Asked, NodeView, Surroundings } from "./node-view.ts";
import { best, type Spread, spreadOf, whyBest } from "./score.ts";
import type { Strategy } from "./strategy.ts";

/* Where pods are, and would come to be, in words with numbers: what the worker decides by, asked once more. */

/**
 * Why a pod is on this node, by what stands today and without the pod itself in `around`. `siblings` are
 * the nodes of its app's other pods.
 */
export function whyThere(
  around: Surroundings,
  asked: Asked,
  node: NodeView,
  siblings: readonly NodeId[],
): string {
  const beginning = beginnings(asked.demands, around.nodes);
  const verdicts = around.nodes.map((it) => ({
    it,
    verdict: verdictOn(it, asked, around, beginning),
  }));
  const fitting = verdicts.flatMap(({ it, verdict }) => (verdict.fits ? [it] : []));
  const against = verdicts.flatMap(({ it, verdict }) =>
    verdict.fits || it.id === node.id ? [] : [verdict.why],
  );
  const own = verdicts.find(({ it }) => it.id === node.id)?.verdict;
  if (own?.fits === false) return `it runs on there, and would not be placed there now: ${own.why}`;
  const spread = spreadOf(around.nodes, asked.spreadBy, siblings);
  return [choice(fitting, node, spread), ...named(against)].join("; ");
}

function choice(fitting: readonly NodeView[], node: NodeView, spread: Spread): string {
  const chosen = best(fitting, spread);
  if (fitting.length === 1) return "the only node that can take it";
  return chosen?.id === node.id
    ? `of ${fitting.length} nodes that can take it ${whyBest(fitting, spread)}`
    : `it stays where it is; of ${fitting.length} nodes that can take it, ${chosen?.name} would be chosen now`;
}

/** What is to come: so many pods beside those that stay, in place of the old ones. */
export type Coming = {
  readonly count: number;
  readonly strategy: Strategy;
  /** The nodes of the pods that stay. */
  readonly staying: readonly NodeId[];
  /** The pods that leave: one for each new one, or all of them before the first. */
  readonly old: readonly PodId[];
};

export type Forecast = {
  readonly placed: readonly { readonly node: string; readonly why: string }[];
  /** How many find no place, and what is against each node; empty where there is none. */
  readonly waiting: { readonly pods: number; readonly against: readonly string[] } | undefined;
};

/** Where pods would go if nothing else changed meanwhile; one after the other, as a rollout would. */
export function forecast(world: Surroundings, asked: Asked, coming: Coming): Forecast {
  const { count, strategy, staying, old } = coming;
  const allAtOnce = strategy.kind === "recreate";
  const leaving = allAtOnce ? [] : [...old];
  let around = allAtOnce ? old.reduce(withoutPod, world) : world;
  const siblings = [...staying];
  const placed: Forecast["placed"][number][] = [];
  while (placed.length < count) {
    const [found] = findPlaces(around, asked, 1, siblings);
    if (found?.kind !== "place") {
      const pods = count - placed.length;
      return { placed, waiting: { pods, against: found?.against ?? [] } };
    }
    const node = placeOf(around, found.node);
    placed.push({ node: node.name, why: whyThere(around, asked, node, siblings) });
    siblings.push(node.id);
    around = withPodOn(around, node.id, asked);
    const next = leaving.shift();
    if (next) around = withoutPod(around, next);
  }
  return { placed, waiting: undefined };
}

/** The same without this pod. */
export function withoutPod(around: Surroundings, pod: PodId): Surroundings {
  const nodes = around.nodes.map((node) => {
    const tenant = node.tenants.find((it) => it.pod === pod);
    return tenant ? withoutTenant(node, tenant, { room: true }) : node;
  });
  return { ...around, nodes };
}

function placeOf({ nodes }: Surroundings, id: NodeId): NodeView {
  const node = nodes.find((it) => it.id === id);
  if (!node) throw new Error(`a place on node ${id}, which is not there`);
  return node;
}
