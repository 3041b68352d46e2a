import type { ImageAppSpec, PodAppSpec } from "../../../contract/app/app-spec.ts";
import { writtenHttpPort } from "../../../contract/pod/http-port.ts";

/** Where requests go: as the spec says, else the lowest port that an image exposes; null when there is none. Pure. */
export function httpPortOf(
  spec: ImageAppSpec | PodAppSpec,
  exposedBy: (image: string) => readonly number[],
): number | null {
  const written = writtenHttpPort(spec);
  if (written !== undefined) return written;
  const images = "image" in spec ? [spec.image] : spec.pod.spec.containers.map((it) => it.image);
  return images.map((image) => exposedBy(image)[0]).find((it) => it !== undefined) ?? null;
}

/** What is wrong with a spec whose requests go to `httpPort`: a page that nobody knows where to ask for. Pure. */
export function portProblem(
  spec: ImageAppSpec | PodAppSpec,
  httpPort: number | null,
): string | undefined {
  const page = "image" in spec ? spec.http.health?.path : undefined;
  if (page === undefined || httpPort !== null) return undefined;
  return `http.health wants ${page} asked for, and the image exposes no TCP port: name one in http.port`;
}
