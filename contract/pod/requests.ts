import { bytes, cpuMillis } from "../document/units.ts";
import { allContainers, isSidecar, type Pod, type PodSpec } from "./pod.ts";

/** What one pod asks of a node, and what a node has: thousandths of a core, bytes, and a count. */
export type Amounts = {
  readonly cpuMillis: number;
  readonly memoryBytes: number;
  readonly pods: number;
};

/** The bounds of a whole pod. `cpuMillis` is undefined where a container has no bound: then the pod has none. */
export type PodLimits = {
  readonly cpuMillis: number | undefined;
  readonly memoryBytes: number;
};

type Resourced = Pick<Pod["spec"] | PodSpec, "containers" | "initContainers">;
type Cost = { readonly cpuMillis: number; readonly memoryBytes: number };

const NOTHING: Cost = { cpuMillis: 0, memoryBytes: 0 };

/**
 * What a pod asks of its node as a whole, as Kubernetes counts it: the main containers and the
 * sidecars together, or what the largest init container needs beside the sidecars that run by then,
 * if that is more. A tmpfs counts within the memory of the containers that write to it.
 */
export function effectiveRequests(spec: Resourced): Amounts {
  const cost = peak(spec, ({ requests }) => ({
    cpuMillis: cpuMillis(requests.cpu) ?? 0,
    memoryBytes: bytes(requests.memory) ?? 0,
  }));
  return { ...cost, pods: 1 };
}

/** What a pod may take as a whole; by the same rule as what it asks for. */
export function effectiveLimits(spec: Resourced): PodLimits {
  const cost = peak(spec, ({ limits }) => ({
    cpuMillis: cpuMillis(limits.cpu ?? "0") ?? 0,
    memoryBytes: bytes(limits.memory) ?? 0,
  }));
  const bounded = allContainers(spec).every((it) => it.resources.limits.cpu !== undefined);
  return { memoryBytes: cost.memoryBytes, cpuMillis: bounded ? cost.cpuMillis : undefined };
}

type Resources = Resourced["containers"][number]["resources"];

/** Source: PodRequests of Kubernetes' component-helpers (KEP-753). */
function peak(spec: Resourced, costOf: (resources: Resources) => Cost): Cost {
  let running = NOTHING;
  let highest = NOTHING;
  for (const container of spec.initContainers) {
    const withIt = sum(running, costOf(container.resources));
    highest = larger(highest, withIt);
    if (isSidecar(container)) running = withIt;
  }
  const main = spec.containers.map((it) => costOf(it.resources)).reduce(sum, running);
  return larger(highest, main);
}

function sum(a: Cost, b: Cost): Cost {
  return { cpuMillis: a.cpuMillis + b.cpuMillis, memoryBytes: a.memoryBytes + b.memoryBytes };
}

/** Each amount by itself: the two may peak at different times. */
function larger(a: Cost, b: Cost): Cost {
  return {
    cpuMillis: Math.max(a.cpuMillis, b.cpuMillis),
    memoryBytes: Math.max(a.memoryBytes, b.memoryBytes),
  };
}
