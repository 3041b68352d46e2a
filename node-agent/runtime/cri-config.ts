import type { Pod } from "../../contract/pod/pod.ts";
import { rolesOf } from "../plan/kinds.ts";
import type { ContainerStart } from "../plan/steps.ts";
import { containerResources, sandboxResources } from "./cri-resources.ts";
import { containerSecurity, sandboxSecurity } from "./cri-security.ts";
import { ANNOTATIONS, LABELS, MAX_POD_SPEC_CHARS } from "./labels.ts";

/** Where a pod lives on this host, and what of the host goes into it. */
export type PodHome = {
  readonly installation: string;
  readonly fingerprint: string;
  readonly cgroup: string;
  readonly logDir: string;
  readonly dns: DnsConfig | undefined;
};

export type DnsConfig = {
  readonly servers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
};

/** Something of this host that a container sees at a place of its own. */
export type BoundMount = {
  readonly containerPath: string;
  readonly hostPath: string;
  readonly readOnly: boolean;
};

/** What a container is given beside its spec's own words, everything resolved. */
export type ContainerGiven = {
  readonly env: readonly { readonly name: string; readonly value: string }[];
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly mounts: readonly BoundMount[];
  /** A number, a name or empty. */
  readonly imageUser: string;
};

export type SandboxConfig = ReturnType<typeof sandboxConfig>;
export type ContainerConfig = ReturnType<typeof containerConfig>;

/** The sandbox of a pod, as CRI spells it. `deaths` is how many of its own died in a row before. Pure. */
export function sandboxConfig(
  pod: Pod,
  home: PodHome,
  { attempt, deaths }: { readonly attempt: number; readonly deaths: number },
) {
  const ports = portMappings(pod);
  return {
    metadata: { name: pod.metadata.name, uid: pod.metadata.uid, namespace: "waybill", attempt },
    hostname: pod.spec.hostname ?? pod.metadata.name,
    log_directory: home.logDir,
    ...(home.dns && { dns_config: home.dns }),
    ...(ports.length > 0 && { port_mappings: ports }),
    labels: {
      ...pod.metadata.labels,
      [LABELS.pod]: pod.metadata.uid as string,
      [LABELS.fingerprint]: home.fingerprint,
      [LABELS.installation]: home.installation,
    },
    annotations: {
      [ANNOTATIONS.graceSeconds]: String(pod.spec.terminationGracePeriodSeconds),
      [ANNOTATIONS.deaths]: String(deaths),
      ...wholePod(pod),
    },
    linux: {
      cgroup_parent: home.cgroup,
      security_context: sandboxSecurity(pod),
      resources: sandboxResources(pod),
    },
  };
}

/** So that a pod whose wish is gone is still stopped in order, and a lost ledger can be made anew. */
function wholePod(pod: Pod): Readonly<Record<string, string>> {
  const text = JSON.stringify(pod);
  return text.length <= MAX_POD_SPEC_CHARS ? { [ANNOTATIONS.podSpec]: text } : {};
}

function portMappings({ spec }: Pod) {
  return rolesOf(spec)
    .filter((it) => it.kind !== "init")
    .flatMap((it) => it.container.ports)
    .flatMap(({ containerPort, hostPort, protocol }) =>
      hostPort === undefined
        ? []
        : [{ protocol, container_port: containerPort, host_port: hostPort }],
    );
}

/** One container of a pod, as CRI spells it: bounded, and without a way to more rights. Pure. */
export function containerConfig(
  pod: Pod,
  start: Omit<ContainerStart, "existing">,
  home: PodHome,
  given: ContainerGiven,
) {
  const { container, kind, attempt, restarts, crashes } = start;
  return {
    metadata: { name: container.name, attempt },
    image: { image: container.image as string },
    command: given.command,
    args: given.args,
    ...(container.workingDir !== undefined && { working_dir: container.workingDir }),
    envs: given.env.map(({ name, value }) => ({ key: name, value })),
    mounts: given.mounts.map((it) => ({
      container_path: it.containerPath,
      host_path: it.hostPath,
      readonly: it.readOnly,
      propagation: "PROPAGATION_PRIVATE",
    })),
    labels: { [LABELS.installation]: home.installation },
    annotations: {
      [ANNOTATIONS.crashes]: String(crashes),
      [ANNOTATIONS.restarts]: String(restarts),
      [ANNOTATIONS.kind]: kind as string,
    },
    log_path: logFileName(container.name, attempt),
    linux: {
      resources: containerResources(container),
      security_context: containerSecurity(pod, container, given.imageUser),
    },
  };
}

/** Within the pod's log folder; one file a start, so that the last words of a crash stay readable. */
export function logFileName(container: string, attempt: number): string {
  return `${container}.${attempt}.log`;
}
