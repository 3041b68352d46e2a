import type { PodAppSpec } from "../../contract/app/app-spec.ts";
import { versionedName } from "../../contract/material/material.ts";
import type { EnvVar } from "../../contract/pod/container.ts";
import type { PodSpec } from "../../contract/pod/pod.ts";
import { type FrozenRelease, frozenImage, type PodDraft } from "./frozen.ts";
import { probedWhereRouted } from "./routed-port.ts";

/** A version that never is: what was allowed to be missing when the release was made stays missing. */
const MISSING = 0;

/** The user's own pod, with images by digest and secrets and config maps by version. */
export function podOfPod(release: FrozenRelease<PodAppSpec>): PodDraft {
  const { metadata, spec } = release.spec.pod;
  const frozen = <C extends PodSpec["containers"][number]>(container: C): C => ({
    ...container,
    image: frozenImage(release, container.image),
    env: container.env.map((it) => frozenVariable(release, it)),
  });
  const containers = spec.containers.map(frozen);
  const initContainers = spec.initContainers.map(frozen);
  return {
    labels: metadata.labels,
    annotations: metadata.annotations,
    spec: {
      ...spec,
      containers: [...probedWhereRouted(containers, initContainers, release.httpPort)],
      initContainers,
      volumes: spec.volumes.map((it) => frozenVolume(release, it)),
    },
  };
}

function frozenVariable(release: FrozenRelease, variable: EnvVar): EnvVar {
  const { secretKeyRef, configMapKeyRef } = variable.valueFrom ?? {};
  if (secretKeyRef) {
    const name = frozenName(release, "secrets", secretKeyRef.name, secretKeyRef.optional);
    return { ...variable, valueFrom: { secretKeyRef: { ...secretKeyRef, name } } };
  }
  if (configMapKeyRef) {
    const name = frozenName(release, "configMaps", configMapKeyRef.name, configMapKeyRef.optional);
    return { ...variable, valueFrom: { configMapKeyRef: { ...configMapKeyRef, name } } };
  }
  return variable;
}

type Volume = PodSpec["volumes"][number];

function frozenVolume(release: FrozenRelease, volume: Volume): Volume {
  const { secret, configMap, image } = volume;
  if (secret) {
    const secretName = frozenName(release, "secrets", secret.secretName, secret.optional);
    return { ...volume, secret: { ...secret, secretName } };
  }
  if (configMap) {
    const name = frozenName(release, "configMaps", configMap.name, configMap.optional);
    return { ...volume, configMap: { ...configMap, name } };
  }
  if (image) return { ...volume, image: { reference: frozenImage(release, image.reference) } };
  return volume;
}

function frozenName(
  { materials, number }: FrozenRelease,
  kind: "secrets" | "configMaps",
  name: string,
  optional: boolean,
): string {
  const version = materials[kind][name] ?? (optional ? MISSING : undefined);
  if (version === undefined) throw new Error(`release ${number} froze no ${kind} ${name}`);
  return versionedName(name, version);
}
