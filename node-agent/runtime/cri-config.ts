import { join } from "node:path";
import type { Container, Pod } from "../../contract/pod.ts";
import { bytes, cpuMillis } from "../../contract/units.ts";
import { ANNOTATIONS, LABELS } from "./labels.ts";

/** Where a pod lives on this host, and what of the host goes into it. */
export type PodHome = {
  readonly installation: string;
  readonly fingerprint: string;
  readonly cgroup: string;
  readonly logDir: string;
  readonly volumesDir: string;
  readonly dns: DnsConfig | undefined;
};

export type DnsConfig = {
  readonly servers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
};

export type SandboxConfig = ReturnType<typeof sandboxConfig>;
export type ContainerConfig = ReturnType<typeof containerConfig>;

const CPU_PERIOD_US = 100_000;
/** The sandbox's own process owns nothing and needs no name: nobody. */
const NOBODY = { value: 65_534 };
const NAMESPACES = { network: "POD", pid: "CONTAINER", ipc: "POD" } as const;
const SECCOMP = { profile_type: "RuntimeDefault" } as const;

/** The sandbox of a pod, as CRI spells it. Pure. */
export function sandboxConfig(pod: Pod, home: PodHome, attempt: number) {
  return {
    metadata: { name: pod.metadata.name, uid: pod.metadata.uid, namespace: "waybill", attempt },
    hostname: pod.spec.hostname ?? pod.metadata.name,
    log_directory: home.logDir,
    ...(home.dns && { dns_config: home.dns }),
    labels: {
      ...pod.metadata.labels,
      [LABELS.pod]: pod.metadata.uid as string,
      [LABELS.fingerprint]: home.fingerprint,
      [LABELS.installation]: home.installation,
    },
    annotations: {
      [ANNOTATIONS.graceSeconds]: String(pod.spec.terminationGracePeriodSeconds),
    },
    linux: {
      cgroup_parent: home.cgroup,
      security_context: {
        namespace_options: NAMESPACES,
        run_as_user: NOBODY,
        run_as_group: NOBODY,
        readonly_rootfs: true,
        seccomp: SECCOMP,
      },
    },
  };
}

/** How often this container was started before, and how often in a row it has crashed. */
export type StartCount = {
  readonly attempt: number;
  readonly restarts: number;
  readonly crashes: number;
};

/** One container of a pod, as CRI spells it: bounded, and without a way to more rights. Pure. */
export function containerConfig(container: Container, home: PodHome, count: StartCount) {
  return {
    metadata: { name: container.name, attempt: count.attempt },
    image: { image: container.image },
    command: container.command ?? [],
    args: container.args ?? [],
    envs: container.env.map(({ name, value }) => ({ key: name, value })),
    mounts: container.volumeMounts.map((mount) => ({
      container_path: mount.mountPath,
      host_path: join(home.volumesDir, mount.name),
      readonly: mount.readOnly ?? false,
      propagation: "PROPAGATION_PRIVATE",
    })),
    labels: { [LABELS.installation]: home.installation },
    annotations: {
      [ANNOTATIONS.crashes]: String(count.crashes),
      [ANNOTATIONS.restarts]: String(count.restarts),
    },
    log_path: logFileName(container.name, count.attempt),
    linux: { resources: resources(container), security_context: securityContext(container) },
  };
}

/** Within the pod's log folder; one file a start, so that the last words of a crash stay readable. */
export function logFileName(container: string, attempt: number): string {
  return `${container}.${attempt}.log`;
}

/** The swap limit equals the memory limit: memory and swap together, so no swap. */
function resources({ resources: { requests, limits } }: Container) {
  const memory = bytes(limits.memory) ?? 0;
  const millis = limits.cpu === undefined ? undefined : cpuMillis(limits.cpu);
  return {
    cpu_shares: Math.max(2, Math.floor(((cpuMillis(requests.cpu) ?? 0) * 1024) / 1000)),
    ...(millis !== undefined && {
      cpu_period: CPU_PERIOD_US,
      cpu_quota: Math.max(1_000, (millis * CPU_PERIOD_US) / 1000),
    }),
    memory_limit_in_bytes: memory,
    memory_swap_limit_in_bytes: memory,
  };
}

function securityContext({ securityContext: wanted }: Container) {
  return {
    namespace_options: NAMESPACES,
    no_new_privs: true,
    seccomp: SECCOMP,
    readonly_rootfs: wanted.readOnlyRootFilesystem ?? false,
    capabilities: { drop_capabilities: [...new Set(["NET_RAW", ...dropped(wanted)])] },
    ...(wanted.runAsUser !== undefined && { run_as_user: { value: wanted.runAsUser } }),
    ...(wanted.runAsUser !== undefined &&
      wanted.runAsGroup !== undefined && { run_as_group: { value: wanted.runAsGroup } }),
  };
}

function dropped(wanted: Container["securityContext"]): readonly string[] {
  return wanted.capabilities?.drop ?? [];
}

/**
 * Why this container may not start as the image asks, or undefined: `runAsNonRoot` is a promise that
 * the image's own user can break.
 */
export function nonRootProblem(container: Container, imageUser: string): string | undefined {
  const { runAsNonRoot, runAsUser } = container.securityContext;
  if (!runAsNonRoot) return undefined;
  if (runAsUser !== undefined)
    return runAsUser === 0 ? "runAsNonRoot is set and runAsUser is 0" : undefined;
  if (/^[1-9]\d*$/.test(imageUser)) return undefined;
  const user = imageUser === "" || imageUser === "0" ? "root" : `"${imageUser}"`;
  return `runAsNonRoot is set and the image runs as ${user}; set runAsUser to a number above 0`;
}
