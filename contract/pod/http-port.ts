import type { AppSpec } from "../app/app-spec.ts";

/** The port of every Tomcat. */
export const WAR_HTTP_PORT = 8080;

/**
 * Where the spec itself says that requests go: `http.port`, else the first TCP port that a container
 * of the pod names. Undefined where only the image can tell, or nobody.
 */
export function writtenHttpPort(spec: AppSpec): number | undefined {
  if ("war" in spec) return WAR_HTTP_PORT;
  if (spec.http.port !== undefined || !("pod" in spec)) return spec.http.port;
  return spec.pod.spec.containers.flatMap((it) => it.ports).find((it) => it.protocol === "TCP")
    ?.containerPort;
}
