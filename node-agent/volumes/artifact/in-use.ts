import type { Pod } from "../../../contract/pod/pod.ts";
import type { View } from "../../run.ts";

/**
 * The artifacts that pods here mount, or that the releases before would; undefined while that is not
 * known of every pod. Pure.
 */
export function artifactsInUse({ desired, seen, busy }: View): readonly string[] | undefined {
  if (busy.size > 0 || seen.some((it) => it.spec === undefined)) return undefined;
  const pods = [...desired.pods, ...seen.flatMap((it) => it.spec ?? [])];
  return [...pods.flatMap(mounted), ...desired.keepImages];
}

function mounted({ spec }: Pod): readonly string[] {
  return spec.volumes.flatMap((it) => it.image?.reference ?? []);
}
