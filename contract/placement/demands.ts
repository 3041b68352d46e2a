import { allContainers, POD_LABELS, type Pod, type PodSpec } from "../pod/pod.ts";
import { type Amounts, effectiveRequests } from "../pod/requests.ts";

export type Labels = Readonly<Record<string, string>>;

/** What a pod asks of the node that it runs on. */
export type Demands = {
  readonly requests: Amounts;
  /** Ports of the node itself that it takes, as "8443/TCP". */
  readonly hostPorts: readonly string[];
  /** The runtime's handler that it asks for; undefined for the default one. */
  readonly handler: string | undefined;
  /** Labels that the node has to have. */
  readonly nodeSelector: Labels;
  /** Its own labels, by which other pods may ask for it or shun it. */
  readonly labels: Labels;
  /** Of each, a pod with these labels has to be on the node. */
  readonly near: readonly Labels[];
  /** No pod with any of these may be on the node. */
  readonly apart: readonly Labels[];
  /** Named volumes of its project. */
  readonly claims: readonly string[];
};

/** What of a pod says that. */
export type Demanding = {
  readonly metadata: Pick<Pod["metadata"], "labels">;
  readonly spec: Pod["spec"] | PodSpec;
};

/** `nodeSelector` is what its app asks of nodes beside the pod itself. */
export function demandsOf({ metadata, spec }: Demanding, nodeSelector: Labels = {}): Demands {
  const ports = allContainers(spec).flatMap((it) => it.ports);
  return {
    requests: effectiveRequests(spec),
    hostPorts: ports.flatMap(({ hostPort, protocol }) =>
      hostPort === undefined ? [] : [`${hostPort}/${protocol}`],
    ),
    handler: spec.runtimeClassName,
    nodeSelector: { ...spec.nodeSelector, ...nodeSelector },
    labels: metadata.labels,
    near: selectors(spec.affinity?.podAffinity),
    apart: selectors(spec.affinity?.podAntiAffinity),
    claims: spec.volumes.flatMap((it) => it.persistentVolumeClaim?.claimName ?? []),
  };
}

/** Whether `other` is one that `selector` of a pod means: of the same project, with all of these labels. */
export function selects(pod: Demands, selector: Labels, other: Demands): boolean {
  const sameProject = pod.labels[POD_LABELS.project] === other.labels[POD_LABELS.project];
  return sameProject && Object.entries(selector).every(([key, it]) => other.labels[key] === it);
}

type Affinity = NonNullable<Pod["spec"]["affinity"]>["podAffinity"];

function selectors(affinity: Affinity): readonly Labels[] {
  const terms = affinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
  return terms.map((it) => it.labelSelector.matchLabels);
}
