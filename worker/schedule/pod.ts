import type { AppSpec } from "../../contract/app/app-spec.ts";
import type { PodId } from "../../contract/ids.ts";
import { SINGLETON } from "../../contract/placement/strategy.ts";
import { POD_LABELS, Pod } from "../../contract/pod/pod.ts";
import type { FrozenRelease, PodDraft } from "./frozen.ts";
import { podOfImage } from "./pod-of-image.ts";
import { podOfPod } from "./pod-of-pod.ts";
import { podOfWar } from "./pod-of-war.ts";

/**
 * The Kubernetes Pod that runs one replica of a release, under `id`. Pure: all of it comes from the
 * frozen release. Two releases whose pods differ in nothing but labels and annotations give pods with
 * one fingerprint, since the rest does not depend on `id` or on the release's number.
 */
export function podOf(release: FrozenRelease, id: PodId): Pod {
  const { spec: app, project, number } = release;
  const { labels, annotations, spec } = draftOf(release);
  return Pod.parse({
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: podName(app.name, number, id),
      uid: id,
      labels: {
        ...labels,
        [POD_LABELS.app]: app.name,
        [POD_LABELS.project]: project,
        [POD_LABELS.release]: String(number),
      },
      annotations: { ...annotations, ...(app.singleton && { [SINGLETON]: "true" }) },
    },
    spec: { ...spec, hostname: spec.hostname ?? app.name },
  });
}

export function podName(app: string, release: number, id: PodId): string {
  return `${app}-${release}-${id.slice(0, 5)}`;
}

export type Source = "war" | "image" | "pod";

export function sourceOf(spec: AppSpec): Source {
  if ("war" in spec) return "war";
  return "image" in spec ? "image" : "pod";
}

function draftOf(release: FrozenRelease): PodDraft {
  const { spec } = release;
  if ("war" in spec) return podOfWar({ ...release, spec });
  if ("image" in spec) return podOfImage({ ...release, spec });
  return podOfPod({ ...release, spec });
}
