import type { Digest } from "../../../contract/ids.ts";
import type { Registry, StoredManifest } from "../registry.ts";
import { RegistryError } from "../registry-call.ts";
import { type ImageConfig, readConfig } from "./config.ts";
import { type Descriptor, type ImageUse, type Platform, readManifest } from "./manifest.ts";
import { ImageRefused } from "./problem.ts";

/** Where an image is read, and whether that is Waybill's own registry already. */
export type Source = {
  readonly from: Registry;
  readonly fromRepository: string;
  readonly isHere: boolean;
  /** Where it is, or is to be, in Waybill's own registry. */
  readonly repository: string;
};

/** An image that was looked at and may run. Nothing of its layers was fetched yet. */
export type FoundImage = Source & {
  /** What names the image for this platform, where it was found by that. */
  readonly index: StoredManifest | undefined;
  readonly digest: Digest;
  readonly bytes: Buffer;
  readonly mediaType: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly tcpPorts: readonly number[];
};

type Look = { readonly use: ImageUse; readonly platform: Platform; readonly signal: AbortSignal };

/**
 * The image that `top`, a manifest or an index, stands for on this platform. Manifest and config are
 * read and checked; of the layers nothing is fetched. Throws ImageRefused.
 */
export async function inspectImage(
  source: Source,
  top: StoredManifest,
  { use, platform, signal }: Look,
): Promise<FoundImage> {
  let stored = top;
  let read = readManifest(stored.bytes, stored.mediaType, use, platform);
  if (read.kind === "index") {
    stored = await named(source.from.manifest(source.fromRepository, read.chosen, signal));
    read = readManifest(stored.bytes, stored.mediaType, use, platform);
  }
  if (read.kind === "index") {
    throw new ImageRefused("image-manifest-invalid", "its index names another index");
  }
  const { mediaType, config, layers } = read;
  const { tcpPorts } =
    use === "container" ? await configOf(source, config, layers.length, platform, signal) : NONE;
  const { digest, bytes } = stored;
  const index = stored === top ? undefined : top;
  return { ...source, index, digest, bytes, mediaType, config, layers, tcpPorts };
}

const NONE: ImageConfig = { tcpPorts: [] };

async function configOf(
  { from, fromRepository }: Source,
  config: Descriptor,
  layers: number,
  platform: Platform,
  signal: AbortSignal,
): Promise<ImageConfig> {
  const bytes = await named(from.smallBlob(fromRepository, config.digest, signal));
  if (bytes.length !== config.size) {
    const sentence = `its config has ${bytes.length} bytes, and ${config.size} by its manifest`;
    throw new ImageRefused("image-manifest-invalid", sentence);
  }
  return readConfig(bytes, layers, platform);
}

/** What a manifest names and its registry does not have is the image's fault, and no reason to look elsewhere. */
async function named<T>(asked: Promise<T>): Promise<T> {
  return await asked.catch((error: unknown) => {
    if (!(error instanceof RegistryError) || error.kind !== "missing") throw error;
    throw new ImageRefused("image-manifest-invalid", "its registry lacks a part of it", error);
  });
}
