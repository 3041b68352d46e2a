import { createHash } from "node:crypto";
import type { Registry } from "../registry.ts";
import { RegistryError } from "../registry-call.ts";
import { eachOf } from "./each-of.ts";
import type { FoundImage } from "./inspect.ts";
import type { Descriptor } from "./manifest.ts";
import { ImageRefused, RegistryUnreachable } from "./problem.ts";

export type CopyDeps = {
  readonly registry: Registry;
  /** Repositories of Waybill's own registry where a layer may lie already. */
  readonly neighbours: readonly string[];
  readonly tell: (message: string) => Promise<void>;
  readonly signal: AbortSignal;
};

/** One connection to a registry far away does not fill the line; more than a few are taken amiss. */
const AT_ONCE = 3;
const TELL_EVERY_MS = 2_000;
const MB = 1_000_000;

/**
 * Copies an image as it is into Waybill's own registry. Its index goes last and as a blob: as a
 * manifest no registry takes it without the images of all other platforms.
 */
export async function copyImage(deps: CopyDeps, name: string, image: FoundImage): Promise<void> {
  await copyManifest(deps, name, image);
  const { registry, signal } = deps;
  const { repository, index } = image;
  if (index === undefined || (await registry.hasBlob(repository, index.digest, signal))) return;
  await registry.putBytes(repository, index.digest, index.bytes, signal);
}

/**
 * What is there is not fetched, what lies in a neighbour is mounted. The manifest goes last, so where
 * it is, all of it is.
 */
async function copyManifest(deps: CopyDeps, name: string, image: FoundImage): Promise<void> {
  const { registry, signal } = deps;
  const { repository, digest, bytes, mediaType } = image;
  if (await registry.manifestDigest(repository, digest, signal)) return;
  const blobs = [...new Map([image.config, ...image.layers].map((it) => [it.digest, it])).values()];
  const there = await eachOf(blobs, AT_ONCE, (blob) => isThere(deps, repository, blob));
  const absent = blobs.filter((_, at) => !there[at]);
  await eachOf(absent, AT_ONCE, (blob) => refuseLie(image, blob, signal));
  await fetchAll(deps, name, image, absent);
  await registry.putManifest(repository, digest, { bytes, mediaType }, signal);
}

async function isThere(
  { registry, neighbours, signal }: CopyDeps,
  repository: string,
  { digest }: Descriptor,
): Promise<boolean> {
  if (await registry.hasBlob(repository, digest, signal)) return true;
  for (const neighbour of neighbours) {
    if (neighbour === repository) continue;
    if (!(await registry.hasBlob(neighbour, digest, signal))) continue;
    if (await registry.mountBlob(repository, digest, neighbour, signal)) return true;
  }
  return false;
}

/** Before the first layer is fetched: what its registry says of a blob must be what the manifest says. */
async function refuseLie(
  { from, fromRepository }: FoundImage,
  { digest, size }: Descriptor,
  signal: AbortSignal,
): Promise<void> {
  const real = await from.blobSize(fromRepository, digest, signal).catch(elsewhere);
  if (real === undefined || real === size) return;
  throw new ImageRefused(
    "image-manifest-invalid",
    `its layer ${digest} has ${real} bytes, and ${size} by its manifest`,
  );
}

async function fetchAll(
  deps: CopyDeps,
  name: string,
  image: FoundImage,
  blobs: readonly Descriptor[],
): Promise<void> {
  const total = blobs.reduce((sum, { size }) => sum + size, 0);
  let done = 0;
  let bytes = 0;
  let toldAtMs = 0;
  const tell = async () => {
    toldAtMs = performance.now();
    const progress = `${done} of ${blobs.length} layers, ${inMb(bytes)} of ${inMb(total)} MB`;
    await deps.tell(`copying ${name}: ${progress}`);
  };
  const { from, fromRepository, repository } = image;
  const { registry, signal } = deps;
  await eachOf(blobs, AT_ONCE, async (blob) => {
    const came = await from.blob(fromRepository, blob.digest, signal).catch(elsewhere);
    const chunks = verified(came, blob, async (count) => {
      bytes += count;
      if (performance.now() - toldAtMs > TELL_EVERY_MS) await tell();
    });
    await registry.putStream(repository, blob.digest, { chunks, bytes: blob.size }, signal);
    done += 1;
  });
  if (blobs.length > 0) await tell();
}

/** The bytes as they come; throws before the last of them is handed on unless all are what the descriptor says. */
async function* verified(
  came: AsyncIterable<Uint8Array>,
  { digest, size }: Descriptor,
  onBytes: (count: number) => Promise<void>,
): AsyncGenerator<Uint8Array> {
  const hash = createHash("sha256");
  let bytes = 0;
  let held: Uint8Array | undefined;
  for await (const chunk of fromElsewhere(came)) {
    hash.update(chunk);
    bytes += chunk.length;
    if (bytes > size) {
      const sentence = `its layer ${digest} is longer than the ${size} bytes of its manifest`;
      throw new ImageRefused("image-manifest-invalid", sentence);
    }
    if (held) yield held;
    held = chunk;
    await onBytes(chunk.length);
  }
  if (bytes < size) {
    throw new RegistryUnreachable(`its layer ${digest} ended after ${bytes} of ${size} bytes`);
  }
  const real = `sha256:${hash.digest("hex")}`;
  if (real !== digest) {
    const sentence = `the bytes of its layer ${digest} are those of ${real}`;
    throw new ImageRefused("image-digest-mismatch", sentence);
  }
  if (held) yield held;
}

async function* fromElsewhere(came: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* came;
  } catch (cause) {
    throw new RegistryUnreachable("its registry fell silent in the middle of a layer", { cause });
  }
}

/** An error of the registry that the image comes from, told apart from one of Waybill's own. */
function elsewhere(error: unknown): never {
  if (!(error instanceof RegistryError)) throw error;
  if (error.kind === "missing") {
    throw new ImageRefused("image-manifest-invalid", "its registry lacks a layer of it", error);
  }
  if (error.kind === "refused") throw new ImageRefused("image-name-refused", error.message, error);
  throw new RegistryUnreachable(error.message, { cause: error });
}

function inMb(bytes: number): string {
  return bytes < 10 * MB ? (bytes / MB).toFixed(1) : String(Math.round(bytes / MB));
}
