import { Name } from "../../contract/ids.ts";
import type { Volume } from "../../contract/pod/pod.ts";
import { POD_LABELS } from "../../contract/pod/pod.ts";
import type { ReadyVolume, Surroundings } from "./volume.ts";
import { giveToGroup, readyFolder } from "./volume-root.ts";

/** A named volume of the pod's project: a folder that is made once and stays until it is purged. */
export async function readyClaim(
  { claimName, readOnly }: NonNullable<Volume["persistentVolumeClaim"]>,
  { pod, places }: Surroundings,
): Promise<ReadyVolume> {
  const project = Name.parse(pod.metadata.labels[POD_LABELS.project]);
  const path = places.namedVolume({ project, name: claimName });
  const group = pod.spec.securityContext.fsGroup;
  await readyFolder(path, group);
  await giveToGroup(path, group);
  return { path, readOnly };
}
