import { hostPortAllowed, type PortRange } from "../../contract/pod/host-policy.ts";
import type { Pod } from "../../contract/pod/pod.ts";
import { StartError } from "../act/start-error.ts";
import { rolesOf } from "../plan/kinds.ts";

/** Throws for a pod that wants a port of this host which its operator does not let pods have. */
export function refuseHostPorts({ spec }: Pod, allowed: readonly PortRange[]): void {
  const wanted = rolesOf(spec).flatMap(({ container }) =>
    container.ports.flatMap((it) => it.hostPort ?? []),
  );
  const port = wanted.find((it) => !hostPortAllowed(allowed, it));
  if (port === undefined) return;
  const ranges = allowed.map(({ from, to }) => (from === to ? from : `${from}-${to}`));
  const rule = ranges.length === 0 ? "none" : ranges.join(", ");
  throw new StartError(
    "CreateContainerConfigError",
    `host-ports: the hostPort ${port} is not allowed; the operator of this node allows ${rule}`,
  );
}
