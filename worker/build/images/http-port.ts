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
