import { Digest } from "../../../contract/ids.ts";
import type { ImageName } from "../../../contract/image-reference.ts";
import type { Egress } from "../../egress/request.ts";
import type { Registry, StoredManifest } from "../registry.ts";
import { RegistryError } from "../registry-call.ts";
import { type FoundImage, inspectImage, type Source } from "./inspect.ts";
import { chosenBy, type ImageUse, type Platform } from "./manifest.ts";
import { mirrorRepository, type Place, placesOf, type Reader } from "./places.ts";
import { type ImageProblem, ImageRefused, RegistryUnreachable } from "./problem.ts";
import { openRemote } from "./remote.ts";

export type FindDeps = {
  /** Waybill's own. */
  readonly registry: Registry;
  readonly egress: Egress;
  readonly reader: Reader;
  readonly platform: Platform;
  readonly signal: AbortSignal;
};

/**
 * The image that a name stands for just now, on this platform. Throws ImageRefused, naming every
 * place that was asked, and RegistryUnreachable where one gave no answer.
 */
export async function findImage(
  deps: FindDeps,
  name: ImageName,
  use: ImageUse,
): Promise<FoundImage> {
  const places = placesOf(name, deps.reader);
  const missed: Missed[] = places.length === 0 ? [NOT_READABLE] : [];
  for (const place of places) {
    try {
      return await lookAt(deps, sourceOf(deps, place), name, use);
    } catch (error) {
      deps.signal.throwIfAborted();
      missed.push(missedAt(place, error, missed));
    }
  }
  const slug = missed.at(-1)?.slug ?? "image-not-found";
  throw new ImageRefused(slug, missed.map(({ sentence }) => sentence).join("; "));
}

type Missed = { readonly slug: ImageProblem; readonly sentence: string };

const NOT_READABLE: Missed = {
  slug: "image-not-found",
  sentence: "Waybill's own registry has no such image",
};

/** Why the image is not taken from there; throws where that says nothing about the image. */
function missedAt(place: Place, error: unknown, before: readonly Missed[]): Missed {
  if (!(error instanceof RegistryError)) throw error;
  const asked = place.kind === "own" ? place.asked : place.registry.name;
  if (error.kind === "missing") {
    return { slug: "image-not-found", sentence: `${asked} has no such image` };
  }
  if (error.kind === "mismatch") throw new ImageRefused("image-digest-mismatch", error.message);
  if (error.kind === "oversized") throw new ImageRefused("image-too-large", error.message);
  if (place.kind === "own") throw error;
  if (error.kind === "denied") {
    const sentence = `${asked} shows it to nobody without a login, or has no such image`;
    return { slug: "image-unauthorized", sentence };
  }
  if (error.kind === "refused") {
    return { slug: "image-name-refused", sentence: `${asked} was not asked: ${error.message}` };
  }
  if (error.kind === "broken") {
    return { slug: "image-not-found", sentence: `${asked} answered ${error.status}` };
  }
  const sentences = [...before.map(({ sentence }) => sentence), `${asked} does not answer`];
  throw new RegistryUnreachable(sentences.join("; "), { cause: error });
}

function sourceOf({ registry, egress }: FindDeps, place: Place): Source {
  if (place.kind === "own") {
    const { repository } = place;
    return { from: registry, fromRepository: repository, repository, isHere: true };
  }
  if (!URL.canParse(place.registry.url)) {
    throw new ImageRefused("image-name-refused", `${place.registry.name} is no address`);
  }
  const repository = mirrorRepository(place);
  if (repository === undefined) {
    throw new ImageRefused("image-name-refused", "its name is too long for a copy of it");
  }
  const from = openRemote(egress, place.registry, place.repository);
  return { from, fromRepository: place.repository, repository, isHere: false };
}

async function lookAt(
  deps: FindDeps,
  source: Source,
  name: ImageName,
  use: ImageUse,
): Promise<FoundImage> {
  const pinned = name.digest === undefined ? undefined : Digest.parse(name.digest);
  const look = { use, platform: deps.platform, signal: deps.signal };
  const kept = pinned && !source.isHere ? await copyOf(deps, source, pinned) : undefined;
  if (kept) return await inspectImage(kept.at, kept.top, look);
  const { from, fromRepository } = source;
  const top = await from.manifest(fromRepository, pinned ?? name.tag ?? "latest", deps.signal);
  if (pinned) await refuseMovedTag(source, name, pinned, deps.signal);
  return await inspectImage(source, top, look);
}

type Kept = { readonly at: Source; readonly top: StoredManifest };

/** What was copied once and is named by digest, its own or that of its index, is not asked for again. */
async function copyOf(
  { registry, platform, signal }: FindDeps,
  source: Source,
  digest: Digest,
): Promise<Kept | undefined> {
  const { repository } = source;
  const isThere = async (it: Digest) =>
    (await registry.manifestDigest(repository, it, signal)) !== undefined;
  let manifest = digest;
  if (!(await isThere(digest))) {
    if (!(await registry.hasBlob(repository, digest, signal))) return undefined;
    manifest = chosenBy(await registry.smallBlob(repository, digest, signal), platform);
    if (!(await isThere(manifest))) return undefined;
  }
  const at = { ...source, from: registry, fromRepository: repository, isHere: true };
  return { at, top: await registry.manifest(repository, manifest, signal) };
}

/** A name with a tag and a digest that do not go together: one of them is a mistake. */
async function refuseMovedTag(
  { from, fromRepository }: Source,
  { tag }: ImageName,
  pinned: Digest,
  signal: AbortSignal,
): Promise<void> {
  if (tag === undefined) return;
  const tagged = await digestOfTag(from, fromRepository, tag, signal);
  if (tagged === undefined || tagged === pinned) return;
  throw new ImageRefused(
    "image-digest-mismatch",
    `its tag "${tag}" is ${tagged}, and not the digest that the name goes on with; leave one of them out`,
  );
}

/** Of the bytes themselves: not every registry says it in a header. */
async function digestOfTag(
  from: Registry,
  repository: string,
  tag: string,
  signal: AbortSignal,
): Promise<Digest | undefined> {
  try {
    return (await from.manifest(repository, tag, signal)).digest;
  } catch (error) {
    if (error instanceof RegistryError && error.kind === "missing") return undefined;
    throw error;
  }
}
