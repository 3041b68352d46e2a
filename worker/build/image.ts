import { z } from "zod";
import { Digest } from "../../contract/ids.ts";
import { digestOf } from "./digest.ts";

export const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE = "application/vnd.oci.image.config.v1+json";
/** Uncompressed: jars are deflated already, and an app's classes are small. */
const LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar";

const Descriptor = z.object({ mediaType: z.string(), digest: Digest, size: z.int().min(0) });
const Manifest = z.object({ config: Descriptor, layers: z.array(Descriptor) });
const Config = z.object({
  architecture: z.string(),
  os: z.string(),
  config: z.object({ Env: z.array(z.string()).nullish() }).nullish(),
  rootfs: z.object({ diff_ids: z.array(Digest) }),
});

type Descriptor = z.infer<typeof Descriptor>;

/** What an image is made of, oldest layer first. A value: a change makes a new one. */
export type Image = {
  readonly platform: { readonly architecture: string; readonly os: string };
  readonly env: Readonly<Record<string, string>>;
  readonly layers: readonly Descriptor[];
  /** Of the same layers, uncompressed. */
  readonly diffIds: readonly Digest[];
};

/** How a container of the image starts, where nobody says otherwise. */
export type RunConfig = {
  readonly user: string;
  readonly env: Readonly<Record<string, string>>;
  readonly entrypoint: readonly string[];
  readonly workingDir: string;
  readonly stopSignal?: string;
  readonly port?: number;
  readonly labels: Readonly<Record<string, string>>;
};

/** The two documents of an image, as the registry stores them. */
export type ImageDocuments = {
  readonly config: { readonly bytes: Buffer; readonly digest: Digest };
  readonly manifest: { readonly bytes: Buffer; readonly digest: Digest };
};

/** What a base starts from: no layer. */
export function emptyImage(architecture: string): Image {
  return { platform: { architecture, os: "linux" }, env: {}, layers: [], diffIds: [] };
}

/** The blob that `readImage` wants beside the manifest. */
export function configDigest(manifest: Buffer): Digest {
  return Manifest.parse(JSON.parse(manifest.toString())).config.digest;
}

export function readImage(manifest: Buffer, config: Buffer): Image {
  const { layers } = Manifest.parse(JSON.parse(manifest.toString()));
  const read = Config.parse(JSON.parse(config.toString()));
  const diffIds = read.rootfs.diff_ids;
  if (layers.length !== diffIds.length) {
    throw new Error(`an image has ${layers.length} layers and ${diffIds.length} diff ids`);
  }
  const env = (read.config?.Env ?? []).map((text) => {
    const cut = text.indexOf("=");
    return cut < 0 ? [text, ""] : [text.slice(0, cut), text.slice(cut + 1)];
  });
  const { architecture, os } = read;
  return { platform: { architecture, os }, env: Object.fromEntries(env), layers, diffIds };
}

/** `image` with uncompressed layers on top, the first one lowest. */
export function appendLayers(
  image: Image,
  layers: readonly { readonly digest: Digest; readonly bytes: number }[],
): Image {
  return {
    ...image,
    layers: [
      ...image.layers,
      ...layers.map(({ digest, bytes }) => ({ mediaType: LAYER_TYPE, digest, size: bytes })),
    ],
    diffIds: [...image.diffIds, ...layers.map(({ digest }) => digest)],
  };
}

/**
 * The documents of `image`, to be run as `run` says. The image's own variables stay, `run` wins;
 * nothing else of a base's config is taken over. No time and no host is in it, so that equal images
 * have equal digests.
 */
export function imageDocuments(image: Image, run: RunConfig): ImageDocuments {
  const config = document({
    ...image.platform,
    config: {
      User: run.user,
      ...(run.port !== undefined && { ExposedPorts: { [`${run.port}/tcp`]: {} } }),
      Env: Object.entries({ ...image.env, ...run.env }).map(([key, value]) => `${key}=${value}`),
      Entrypoint: run.entrypoint,
      WorkingDir: run.workingDir,
      Labels: run.labels,
      ...(run.stopSignal !== undefined && { StopSignal: run.stopSignal }),
    },
    rootfs: { type: "layers", diff_ids: image.diffIds },
    // A builder that starts from this image counts its layers here.
    history: image.diffIds.map(() => ({ created_by: "waybill" })),
  });
  const manifest = document({
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: { mediaType: CONFIG_TYPE, digest: config.digest, size: config.bytes.length },
    layers: image.layers,
  });
  return { config, manifest };
}

function document(value: unknown): { bytes: Buffer; digest: Digest } {
  const bytes = Buffer.from(JSON.stringify(value));
  return { bytes, digest: digestOf(bytes) };
}
