import { type Demands, type Labels, selects } from "./demands.ts";
import type { NodeView, Tenant } from "./node-view.ts";

/**
 * Of what a pod asks for beside it, that which it would bring itself and which is nowhere yet: pods that ask
 * for each other's company have to begin somewhere.
 */
export function beginnings(pod: Demands, nodes: readonly NodeView[]): ReadonlySet<Labels> {
  return new Set(
    pod.near.filter(
      (selector) =>
        selects(pod, selector, pod) && !nodes.some((it) => isThere(it.tenants, pod, selector)),
    ),
  );
}

/**
 * In words, what the pods on `node` have against one more with these demands, or lack for it: its own
 * required affinity, and the anti-affinity of those that are there, as Kubernetes means both. `beginning`
 * is what it may be the first of.
 */
export function neighbourTrouble(
  { tenants }: NodeView,
  pod: Demands,
  beginning: ReadonlySet<Labels>,
): readonly string[] {
  const missed = pod.near.filter(
    (selector) => !beginning.has(selector) && !isThere(tenants, pod, selector),
  );
  const shunned = pod.apart.filter((selector) => isThere(tenants, pod, selector));
  const unwelcome = shunnedBy(tenants, pod);
  return [
    ...missed.map((it) => `no pod with ${inWords(it)} is there`),
    ...shunned.map((it) => `a pod with ${inWords(it)} is there`),
    ...(unwelcome ? [`a pod there wants none with ${inWords(unwelcome)} beside it`] : []),
  ];
}

/** What the first of the tenants that shuns the pod says of those that it shuns. */
function shunnedBy(tenants: readonly Tenant[], pod: Demands): Labels | undefined {
  for (const { demands } of tenants) {
    const selector = demands.apart.find((it) => selects(demands, it, pod));
    if (selector) return selector;
  }
  return undefined;
}

function isThere(tenants: readonly Tenant[], pod: Demands, selector: Labels): boolean {
  return tenants.some(({ demands }) => selects(pod, selector, demands));
}

function inWords(selector: Labels): string {
  return Object.entries(selector)
    .map(([key, it]) => `${key}=${it}`)
    .join(",");
}
