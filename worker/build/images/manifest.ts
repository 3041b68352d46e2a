import { z } from "zod";
import { Digest } from "../../../contract/ids.ts";
import { ImageRefused } from "./problem.ts";

/*
 * Manifests and indexes as they come from registries that nobody vouches for: Docker's schema 2 and
 * OCI. Everything is checked before a layer is fetched. Pure.
 */

const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
const MANIFESTS = new Set([OCI_MANIFEST, DOCKER_MANIFEST]);
const INDEXES = new Set([OCI_INDEX, DOCKER_LIST]);

/** Which config belongs to which manifest. */
const CONFIG_OF: Readonly<Record<string, string>> = {
  [OCI_MANIFEST]: "application/vnd.oci.image.config.v1+json",
  [DOCKER_MANIFEST]: "application/vnd.docker.container.image.v1+json",
};
const IMAGE_LAYER =
  /^application\/vnd\.(oci\.image\.layer\.v1\.tar(\+gzip|\+zstd)?|docker\.image\.rootfs\.diff\.tar(\.gzip|\.zstd)?)$/;
const FOREIGN_LAYER = /nondistributable|\.foreign\./;

/** Docker's own builder stops at 127; a mount of more than some hundred layers fails in the kernel. */
const MAX_LAYERS = 500;
const MAX_IMAGE_BYTES = 8 * 1024 ** 3;
const MAX_CONFIG_BYTES = 4 * 1024 ** 2;
/** As long as a platform's list in the registries there are, and nothing that takes time to read. */
const MAX_PLATFORMS = 1_000;

const Descriptor = z.object({
  mediaType: z.string().max(255),
  digest: Digest,
  size: z.int().min(0),
  urls: z.array(z.string()).optional(),
});
export type Descriptor = z.infer<typeof Descriptor>;

const Manifest = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.string().optional(),
  config: Descriptor,
  layers: z.array(Descriptor),
  manifests: z.undefined().optional(),
});
const Index = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.string().optional(),
  manifests: z.array(
    Descriptor.extend({
      platform: z
        .object({ architecture: z.string(), os: z.string(), variant: z.string().optional() })
        .optional(),
    }),
  ),
  layers: z.undefined().optional(),
  config: z.undefined().optional(),
});

export type Platform = { readonly architecture: string; readonly os: string };

/** `use` says what the image is for: only what runs as a container has to be a container's image. */
export type ImageUse = "container" | "volume";

export type ReadManifest =
  | { readonly kind: "index"; readonly chosen: Digest }
  | {
      readonly kind: "manifest";
      readonly mediaType: string;
      readonly config: Descriptor;
      readonly layers: readonly Descriptor[];
    };

/** `announced` is the Content-Type that the bytes came with. Throws ImageRefused. */
export function readManifest(
  bytes: Buffer,
  announced: string | undefined,
  use: ImageUse,
  platform: Platform,
): ReadManifest {
  const json = parseJson(bytes);
  const mediaType = mediaTypeOf(json, announced);
  if (INDEXES.has(mediaType)) return { kind: "index", chosen: chooseManifest(json, platform) };
  if (!MANIFESTS.has(mediaType)) {
    throw invalid(`its manifest is of the kind ${shown(mediaType)}, which is not taken`);
  }
  const read = Manifest.safeParse(json);
  if (!read.success) throw invalid(`its manifest cannot be read: ${firstOf(read.error)}`);
  const { config, layers } = read.data;
  refuseUnfit(mediaType, config, layers, use);
  return { kind: "manifest", mediaType, config, layers };
}

/** The manifest that an index names for this platform. Throws ImageRefused. */
export function chosenBy(index: Buffer, platform: Platform): Digest {
  return chooseManifest(parseJson(index), platform);
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch (error) {
    throw invalid("its manifest is no JSON", error);
  }
}

/** What the document calls itself and what it came as must be the same: else two programs would read it in two ways. */
function mediaTypeOf(json: unknown, announced: string | undefined): string {
  const own = z.object({ mediaType: z.string(), schemaVersion: z.number() }).partial();
  const { mediaType, schemaVersion } = own.catch({}).parse(json);
  if (schemaVersion === 1) {
    throw invalid("its manifest is of Docker's schema 1, which has no digests of what runs");
  }
  const came = announced?.split(";", 1)[0]?.trim().toLowerCase();
  if (mediaType !== undefined && came !== undefined && mediaType !== came && isKnown(came)) {
    throw invalid(`its manifest calls itself ${shown(mediaType)} and came as ${shown(came)}`);
  }
  return mediaType ?? came ?? "";
}

function isKnown(mediaType: string): boolean {
  return MANIFESTS.has(mediaType) || INDEXES.has(mediaType);
}

function chooseManifest(json: unknown, platform: Platform): Digest {
  const read = Index.safeParse(json);
  if (!read.success) throw invalid(`its index cannot be read: ${firstOf(read.error)}`);
  const { manifests } = read.data;
  if (manifests.length > MAX_PLATFORMS) {
    throw invalid(`its index names ${manifests.length} manifests, more than ${MAX_PLATFORMS}`);
  }
  const fits = manifests.filter(
    (it) => it.platform?.os === platform.os && it.platform.architecture === platform.architecture,
  );
  const chosen = fits.find((it) => it.platform?.variant === undefined) ?? fits[0];
  if (chosen === undefined) {
    const there = manifests.flatMap(({ platform: it }) =>
      it ? [`${it.os}/${it.architecture}`] : [],
    );
    const list = [...new Set(there)].slice(0, 10).map(shown).join(", ") || "no platform";
    const wanted = `${platform.os}/${platform.architecture}`;
    throw new ImageRefused(
      "image-platform-missing",
      `it is not made for ${wanted}, but for ${list}`,
    );
  }
  if (INDEXES.has(chosen.mediaType)) throw invalid("its index names another index");
  if (!MANIFESTS.has(chosen.mediaType)) {
    throw invalid(`its index names a manifest of the kind ${shown(chosen.mediaType)}`);
  }
  return chosen.digest;
}

function refuseUnfit(
  mediaType: string,
  config: Descriptor,
  layers: readonly Descriptor[],
  use: ImageUse,
): void {
  if (layers.length > MAX_LAYERS) {
    throw invalid(`it has ${layers.length} layers, more than ${MAX_LAYERS}`);
  }
  const foreign = [config, ...layers].find(
    (it) => it.urls !== undefined || FOREIGN_LAYER.test(it.mediaType),
  );
  if (foreign) throw invalid(`its layer ${foreign.digest} lies elsewhere (a foreign layer)`);
  if (use === "container") refuseNoContainer(mediaType, config, layers);
  if (config.size > MAX_CONFIG_BYTES) {
    throw tooLarge(`its config has ${config.size} bytes, more than ${MAX_CONFIG_BYTES}`);
  }
  const bytes = layers.reduce((sum, { size }) => sum + size, 0);
  if (bytes > MAX_IMAGE_BYTES) {
    throw tooLarge(`its layers have ${bytes} bytes, more than ${MAX_IMAGE_BYTES}`);
  }
}

function refuseNoContainer(
  mediaType: string,
  config: Descriptor,
  layers: readonly Descriptor[],
): void {
  if (config.mediaType !== CONFIG_OF[mediaType]) {
    throw invalid(`its config is of the kind ${shown(config.mediaType)}: no container's image`);
  }
  const stranger = layers.find((it) => !IMAGE_LAYER.test(it.mediaType));
  if (stranger)
    throw invalid(`its layer ${stranger.digest} is of the kind ${shown(stranger.mediaType)}`);
}

/** A word from outside, safe in a sentence: without control characters, and short. */
export function shown(text: string): string {
  return `"${text.replace(/[^\x20-\x7e]|"/g, "?").slice(0, 100)}"`;
}

function firstOf(error: z.ZodError): string {
  const [issue] = error.issues;
  return issue ? `/${issue.path.join("/")} ${issue.message}` : "it does not validate";
}

function invalid(message: string, cause?: unknown): ImageRefused {
  return new ImageRefused("image-manifest-invalid", message, cause);
}

function tooLarge(message: string): ImageRefused {
  return new ImageRefused("image-too-large", message);
}
