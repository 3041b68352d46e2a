import type { z } from "zod";
import { isSidecar } from "../../contract/pod/pod.ts";
import type { Probe } from "../../contract/pod/probe.ts";
import type { ContainerInput } from "./frozen.ts";

type ProbeInput = z.input<typeof Probe>;

/** Each second, so that a pod takes requests soon after its port opens; a connection costs next to nothing. */
export function opensPort(port: number): ProbeInput {
  return { tcpSocket: { port }, periodSeconds: 1, timeoutSeconds: 5, failureThreshold: 3 };
}

/**
 * The main containers, with a readiness probe of the port that the pod's requests go to where the user
 * gave none: what is sent requests has to answer. It is put on the main container that names the port,
 * else on the first that has none yet; never on a sidecar, for which the main ones would wait.
 */
export function probedWhereRouted<C extends ContainerInput>(
  containers: readonly C[],
  initContainers: readonly (C & { readonly restartPolicy?: "Always" | undefined })[],
  httpPort: number | null,
): readonly C[] {
  if (httpPort === null) return containers;
  const beside = [...containers, ...initContainers.filter(isSidecar)];
  const owner = beside.find((it) => it.ports?.some((port) => takes(port, httpPort)));
  if (owner?.readinessProbe || beside.some((it) => asks(it, httpPort))) return containers;
  const named = containers.find((it) => it === owner);
  const bearer = named ?? containers.find((it) => !it.readinessProbe);
  return containers.map((it) =>
    it === bearer ? { ...it, readinessProbe: opensPort(httpPort) } : it,
  );
}

type PortInput = NonNullable<ContainerInput["ports"]>[number];

function takes({ containerPort, protocol }: PortInput, httpPort: number): boolean {
  return containerPort === httpPort && protocol !== "UDP";
}

function asks({ readinessProbe, ports }: ContainerInput, httpPort: number): boolean {
  const port = readinessProbe?.httpGet?.port ?? readinessProbe?.tcpSocket?.port;
  if (port === undefined) return false;
  const named = ports?.find((it) => it.name === port);
  return port === httpPort || (named !== undefined && takes(named, httpPort));
}
