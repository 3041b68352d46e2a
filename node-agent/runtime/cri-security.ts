import type { Container, Pod } from "../../contract/pod/pod.ts";

export const SECCOMP = { profile_type: "RuntimeDefault" } as const;

/** The sandbox's own process owns nothing and needs no name: nobody. */
const NOBODY = { value: 65_534 };

/** One address and one IPC for all of a pod; one process tree as well where it asks for that. Pure. */
export function namespaces({ spec }: Pod) {
  return {
    network: "POD",
    pid: spec.shareProcessNamespace ? "POD" : "CONTAINER",
    ipc: "POD",
  } as const;
}

export function sandboxSecurity(pod: Pod) {
  return {
    namespace_options: namespaces(pod),
    run_as_user: NOBODY,
    run_as_group: NOBODY,
    readonly_rootfs: true,
    seccomp: SECCOMP,
  };
}

/**
 * What a container may do: what it says itself, else what its pod says, and always no new rights, the
 * runtime's seccomp profile and no raw sockets. `imageUser` is a number, a name or empty. Pure.
 */
export function containerSecurity(pod: Pod, container: Container, imageUser: string) {
  const own = container.securityContext;
  const shared = pod.spec.securityContext;
  const groups = [...(shared.supplementalGroups ?? []), ...gidOf(shared.fsGroup)];
  return {
    namespace_options: namespaces(pod),
    no_new_privs: true,
    seccomp: SECCOMP,
    readonly_rootfs: own.readOnlyRootFilesystem ?? false,
    capabilities: {
      drop_capabilities: [...new Set(["NET_RAW", ...(own.capabilities?.drop ?? [])])],
      ...(own.capabilities?.add && { add_capabilities: own.capabilities.add }),
    },
    ...(groups.length > 0 && { supplemental_groups: groups }),
    ...identity(own.runAsUser ?? shared.runAsUser, own.runAsGroup ?? shared.runAsGroup, imageUser),
  };
}

function gidOf(group: number | undefined): readonly number[] {
  return group === undefined ? [] : [group];
}

/** CRI takes a group only beside a user: without one of the spec's it is the image's, or root. */
function identity(user: number | undefined, group: number | undefined, imageUser: string) {
  if (group === undefined) return user === undefined ? {} : { run_as_user: { value: user } };
  const run_as_group = { value: group };
  if (user !== undefined) return { run_as_user: { value: user }, run_as_group };
  if (/^\d*$/.test(imageUser)) return { run_as_user: { value: Number(imageUser) }, run_as_group };
  return { run_as_username: imageUser, run_as_group };
}

/**
 * Why this container may not start as the image asks, or undefined: `runAsNonRoot` is a promise that
 * the image's own user can break.
 */
export function nonRootProblem(
  pod: Pod,
  container: Container,
  imageUser: string,
): string | undefined {
  const shared = pod.spec.securityContext;
  const own = container.securityContext;
  if (!(own.runAsNonRoot ?? shared.runAsNonRoot)) return undefined;
  const runAsUser = own.runAsUser ?? shared.runAsUser;
  if (runAsUser !== undefined)
    return runAsUser === 0 ? "runAsNonRoot is set and runAsUser is 0" : undefined;
  if (/^[1-9]\d*$/.test(imageUser)) return undefined;
  const user = imageUser === "" || imageUser === "0" ? "root" : `"${imageUser}"`;
  return `runAsNonRoot is set and the image runs as ${user}; set runAsUser to a number above 0`;
}
