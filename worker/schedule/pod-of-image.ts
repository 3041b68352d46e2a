import type { ImageAppSpec } from "../../contract/app/app-spec.ts";
import { type ContainerInput, type FrozenRelease, frozenImage, type PodDraft } from "./frozen.ts";
import { opensPort } from "./routed-port.ts";

/** How long an image may take to its first good answer: seconds until it is started again. */
const STARTUP_SECONDS = 300;
const GRACE_SECONDS = 30;

/** One container of the image, as whoever its image says, with no more rights than any container gets. */
export function podOfImage(release: FrozenRelease<ImageAppSpec>): PodDraft {
  const { spec, httpPort } = release;
  const { cpu, memory } = spec.resources;
  return {
    labels: {},
    annotations: {},
    spec: {
      containers: [
        {
          name: "app",
          image: frozenImage(release, spec.image),
          env: Object.entries(spec.env).map(([name, value]) => ({ name, value })),
          ports: httpPort === null ? [] : [{ name: "http", containerPort: httpPort }],
          resources: { requests: { cpu, memory }, limits: { memory } },
          ...(httpPort !== null && probes(spec, httpPort)),
        },
      ],
      terminationGracePeriodSeconds: GRACE_SECONDS,
    },
  };
}

/** Where the spec names no page, an open port has to do: an image may answer 404 on all that it is not asked for. */
function probes(
  { http }: ImageAppSpec,
  port: number,
): Pick<ContainerInput, "startupProbe" | "readinessProbe"> {
  if (!http.health) return { readinessProbe: opensPort(port) };
  const httpGet = { path: http.health.path, port };
  return {
    startupProbe: {
      httpGet,
      periodSeconds: 1,
      timeoutSeconds: 10,
      failureThreshold: STARTUP_SECONDS,
    },
    readinessProbe: { httpGet, periodSeconds: 5, timeoutSeconds: 5, failureThreshold: 3 },
  };
}
