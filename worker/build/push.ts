import type { Digest } from "../../contract/ids.ts";
import { type ImageDocuments, MANIFEST_TYPE } from "./image.ts";
import type { LayerFile } from "./layer-file.ts";
import type { Registry } from "./registry.ts";

/** Sends a layer that the repository does not have. Returns the bytes sent. */
export async function pushLayer(
  registry: Registry,
  repository: string,
  layer: LayerFile,
  signal: AbortSignal,
): Promise<number> {
  if (await registry.hasBlob(repository, layer.digest, signal)) return 0;
  await registry.putFile(repository, layer.digest, layer.path, signal);
  return layer.bytes;
}

/** Makes blobs of `from` part of `repository`: without a byte sent where the registry can, through here where not. */
export async function mountBlobs(
  registry: Registry,
  repository: string,
  from: string,
  digests: readonly Digest[],
  signal: AbortSignal,
): Promise<void> {
  for (const digest of digests) {
    if (await registry.hasBlob(repository, digest, signal)) continue;
    if (await registry.mountBlob(repository, digest, from, signal)) continue;
    throw new Error(`the registry did not mount ${digest} from ${from} into ${repository}`);
  }
}

/** Stores config and manifest, last of all, and only what is missing. Returns the bytes sent. */
export async function pushDocuments(
  registry: Registry,
  repository: string,
  { config, manifest }: ImageDocuments,
  signal: AbortSignal,
): Promise<number> {
  if (await registry.manifestDigest(repository, manifest.digest, signal)) return 0;
  let sent = manifest.bytes.length;
  if (!(await registry.hasBlob(repository, config.digest, signal))) {
    await registry.putBytes(repository, config.digest, config.bytes, signal);
    sent += config.bytes.length;
  }
  const stored = { bytes: manifest.bytes, mediaType: MANIFEST_TYPE };
  await registry.putManifest(repository, manifest.digest, stored, signal);
  return sent;
}
