import { chmod, mkdir } from "node:fs/promises";
import { Name } from "../../contract/ids.ts";
import type { Volume } from "../../contract/pod/pod.ts";
import { POD_LABELS } from "../../contract/pod/pod.ts";
import { giveToGroup } from "./fs-group.ts";
import type { ReadyVolume, Surroundings } from "./volume.ts";

/** A named volume of the pod's project: a folder that is made once and stays until it is purged. */
export async function readyClaim(
  { claimName, readOnly }: NonNullable<Volume["persistentVolumeClaim"]>,
  { pod, places }: Surroundings,
): Promise<ReadyVolume> {
  const project = Name.parse(pod.metadata.labels[POD_LABELS.project]);
  const path = places.namedVolume({ project, name: claimName });
  const made = await mkdir(path, { recursive: true, mode: 0o700 });
  if (made !== undefined) await chmod(path, 0o777);
  await giveToGroup(path, pod.spec.securityContext.fsGroup);
  return { path, readOnly };
}
