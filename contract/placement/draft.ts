import type { AppSpec } from "../app/app-spec.ts";
import { POD_LABELS, PodSpec } from "../pod/pod.ts";
import type { Demanding } from "./demands.ts";
import { type Shared, SINGLETON } from "./strategy.ts";

/**
 * What a spec says of its pods that decides where and how they run, before its images are known: as
 * worker/schedule/pod.ts will say it of the pods themselves, which a test compares.
 */
export function draftOf(spec: AppSpec, project: string, release: number): Demanding & Shared {
  const own = "pod" in spec ? spec.pod.metadata : { labels: {}, annotations: {} };
  return {
    metadata: {
      labels: {
        ...own.labels,
        [POD_LABELS.app]: spec.name,
        [POD_LABELS.project]: project,
        [POD_LABELS.release]: String(release),
      },
      annotations: { ...own.annotations, ...(spec.singleton && { [SINGLETON]: "true" }) },
    },
    spec: "pod" in spec ? spec.pod.spec : oneContainer(spec),
  };
}

function oneContainer({ resources }: Exclude<AppSpec, { pod: unknown }>): PodSpec {
  const { cpu, memory } = resources;
  const asked = { requests: { cpu, memory }, limits: { memory } };
  return PodSpec.parse({ containers: [{ name: "app", image: "not-known-yet", resources: asked }] });
}
