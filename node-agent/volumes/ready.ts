import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Container, Pod, Volume } from "../../contract/pod/pod.ts";
import { named, StartError } from "../act/start-error.ts";
import { mounts } from "../host/mounts.ts";
import type { BoundMount } from "../runtime/cri-config.ts";
import { readyClaim } from "./claim.ts";
import { readyEmptyDir } from "./empty-dir.ts";
import { readyHostPath } from "./host-path.ts";
import { readyKeyFiles } from "./key-files.ts";
import { bindSubPath } from "./sub-path.ts";
import type { ReadyVolume, Surroundings } from "./volume.ts";

/** By the name that the pod gives them. */
export type ReadyVolumes = ReadonlyMap<string, ReadyVolume>;

/** Makes what the pod's volumes need and is not there yet; those of an earlier agent are found again. */
export async function readyVolumes(
  pod: Pod,
  from: Omit<Surroundings, "pod" | "podDir" | "volumesDir" | "mounted">,
): Promise<ReadyVolumes> {
  const podDir = from.places.podDir(pod.metadata.uid);
  const volumesDir = from.places.volumesDir(pod.metadata.uid);
  if (pod.spec.volumes.length === 0) return new Map();
  await mkdir(volumesDir, { recursive: true, mode: 0o700 });
  const mounted = new Map((await mounts()).map((it) => [it.path, it] as const));
  const around = { ...from, pod, podDir, volumesDir, mounted };
  const made = pod.spec.volumes.map(
    async (volume) => [volume.name, await named("FailedMount", ready(volume, around))] as const,
  );
  const results = await Promise.allSettled(made);
  const failed = results.find((it) => it.status === "rejected");
  if (failed) throw failed.reason;
  return new Map(results.flatMap((it) => (it.status === "fulfilled" ? [it.value] : [])));
}

function ready(volume: Volume, around: Surroundings): Promise<ReadyVolume> {
  const { name, emptyDir, hostPath, secret, configMap, image, persistentVolumeClaim } = volume;
  if (emptyDir) return readyEmptyDir(name, emptyDir, around);
  if (hostPath) return readyHostPath(name, hostPath, around);
  if (persistentVolumeClaim) return readyClaim(persistentVolumeClaim, around);
  if (image) return readyImage(image.reference, around);
  if (secret) {
    const values = around.values.secrets.get(secret.secretName);
    const source = { name: secret.secretName, values, files: secret };
    return readyKeyFiles(name, "secret", source, around);
  }
  if (configMap) {
    const values = around.values.configMaps.get(configMap.name);
    const source = { name: configMap.name, values, files: configMap };
    return readyKeyFiles(name, "config map", source, around);
  }
  throw new StartError("CreateContainerConfigError", `the volume "${name}" has no source`);
}

async function readyImage(reference: string, { artifact }: Surroundings): Promise<ReadyVolume> {
  return { path: await named("ErrImagePull", artifact(reference)), readOnly: true };
}

/** What one container sees of its pod's volumes, `place` being a folder for its own use. */
export async function containerMounts(
  container: Container,
  volumes: ReadyVolumes,
  place: string,
): Promise<readonly BoundMount[]> {
  const mounts: BoundMount[] = [];
  for (const [
    at,
    { name, mountPath, readOnly = false, subPath },
  ] of container.volumeMounts.entries()) {
    const volume = volumes.get(name);
    if (!volume)
      throw new StartError("CreateContainerConfigError", `the pod has no volume "${name}"`);
    const shown = subPath === undefined ? volume.path : join(place, String(at));
    if (subPath !== undefined) await bindSubPath(volume, subPath, shown);
    mounts.push({
      containerPath: mountPath,
      hostPath: shown,
      readOnly: readOnly || volume.readOnly,
    });
  }
  return mounts;
}
