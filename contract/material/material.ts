import { z } from "zod";
import { ConfigKey, DnsLabel, Name, ObjectName } from "../ids.ts";

/*
 * What pods are given beside their images: config maps and secrets, by version. A release freezes the
 * version of each that it names, and its pods name them as "<name>.v<version>", so that a new version
 * is a new name, and what runs never changes underneath.
 */

/** The largest Secret or ConfigMap, keys and values together, in bytes. Source: Kubernetes' 1 MiB. */
export const MAX_MATERIAL_BYTES = 1024 * 1024;

export function versionedName(name: string, version: number): string {
  return `${name}.v${version}`;
}

/** A config map's values by key: texts, and bytes as base64 under `binary`. */
export const ConfigMapMaterial = z.strictObject({
  project: Name,
  /** With its version, as the pods name it. */
  name: ObjectName,
  data: z.record(ConfigKey, z.string()),
  binary: z.record(ConfigKey, z.base64()),
});
export type ConfigMapMaterial = z.infer<typeof ConfigMapMaterial>;

/**
 * A secret on its way to one node: only that node's private key opens it. `sealed` is the base64 of
 * what kit/sealed-box.ts makes of the JSON `{key: base64 of the value}`, bound to `project/name`.
 */
export const SecretMaterial = z.strictObject({
  project: Name,
  name: ObjectName,
  sealed: z.base64(),
});
export type SecretMaterial = z.infer<typeof SecretMaterial>;

/** A named volume, on the node that holds it. */
export const VolumeKey = z.strictObject({ project: Name, name: DnsLabel });
export type VolumeKey = z.infer<typeof VolumeKey>;
