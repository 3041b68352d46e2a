import type { ContainerStatus } from "../../contract/node/protocol.ts";
import { type Container, isSidecar, type Pod } from "../../contract/pod/pod.ts";

export type ContainerKind = ContainerStatus["kind"];

/** A container of a pod, and the part that it plays there. */
export type Role = { readonly container: Container; readonly kind: ContainerKind };

/** Every container of a pod in the order in which they start, the main ones last. Pure. */
export function rolesOf(spec: Pod["spec"]): readonly Role[] {
  return [
    ...spec.initContainers.map(
      (container): Role => ({ container, kind: isSidecar(container) ? "sidecar" : "init" }),
    ),
    ...spec.containers.map((container): Role => ({ container, kind: "main" })),
  ];
}
