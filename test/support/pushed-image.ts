import { createHash } from "node:crypto";
import { Digest } from "../../contract/ids.ts";
import { ociArchitecture } from "../../worker/build/platform.ts";
import { openRegistry } from "../../worker/build/registry.ts";

export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";

export const PLATFORM = { os: "linux", architecture: ociArchitecture() };

export type ImageToPush = {
  readonly tag?: string;
  readonly layers?: readonly Buffer[];
  /** As in the config's `config`. */
  readonly settings?: object;
  readonly platform?: object;
  /** What the manifest says otherwise. */
  readonly manifest?: object;
};

/** Puts an image of these bytes into a registry, and answers its manifest's digest. */
export async function pushImage(
  registryUrl: string,
  repository: string,
  image: ImageToPush = {},
): Promise<Digest> {
  const layers = image.layers ?? [Buffer.from(`a layer of ${repository}`)];
  const config = json({
    ...(image.platform ?? PLATFORM),
    config: image.settings ?? {},
    rootfs: { type: "layers", diff_ids: layers.map(digestOf) },
  });
  const registry = openRegistry(registryUrl);
  for (const blob of [config, ...layers]) {
    await registry.putBytes(repository, digestOf(blob), blob, soon());
  }
  const described = (mediaType: string, blob: Buffer) => ({
    ...{ mediaType, size: blob.length, digest: digestOf(blob) },
  });
  return await pushManifest(registryUrl, repository, image.tag ?? "latest", {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: described("application/vnd.oci.image.config.v1+json", config),
    layers: layers.map((it) => described("application/vnd.oci.image.layer.v1.tar", it)),
    ...image.manifest,
  });
}

/** Puts a manifest or an index into a registry, under its digest and its tag. */
export async function pushManifest(
  registryUrl: string,
  repository: string,
  tag: string,
  document: { readonly mediaType: string } & Readonly<Record<string, unknown>>,
): Promise<Digest> {
  const bytes = json(document);
  const manifest = { bytes, mediaType: document.mediaType };
  await openRegistry(registryUrl).putManifest(repository, tag, manifest, soon());
  return digestOf(bytes);
}

export function digestOf(bytes: Buffer): Digest {
  return Digest.parse(`sha256:${createHash("sha256").update(bytes).digest("hex")}`);
}

function json(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function soon(): AbortSignal {
  return AbortSignal.timeout(20_000);
}
