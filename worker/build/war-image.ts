import { open } from "node:fs/promises";
import { join } from "node:path";
import type { Digest } from "../../contract/ids.ts";
import type { BaseImage, Bases } from "./base.ts";
import { FileWindow } from "./file-window.ts";
import { appendLayers, configDigest, type Image, imageDocuments, readImage } from "./image.ts";
import { type LayerFile, type LayerWriter, writeLayer } from "./layer-file.ts";
import { foldersDownTo, type LayerPlan, planLayers } from "./layers.ts";
import { mountBlobs, pushDocuments, pushLayer } from "./push.ts";
import { tomcatWarRun, webappFolder } from "./recipe/tomcat-war.ts";
import type { Registry } from "./registry.ts";
import { openScratch, spool } from "./spool.ts";
import { readWarEntries } from "./war-archive.ts";
import { readContent } from "./war-content.ts";
import type { WarEntry } from "./war-entries.ts";
import { type WarProblem, WarRefused } from "./war-problem.ts";

export type WarImageRequest = {
  /** The WAR's blob, in `artifactRepository`. */
  readonly artifact: Digest;
  readonly artifactRepository: string;
  /** Where the image goes. */
  readonly repository: string;
  readonly contextPath: string;
  readonly tomcatVersion: "10.1";
};

/** The WAR cannot become an image on any machine; trying again changes nothing. */
export type WarRefusal = {
  readonly kind: "refused";
  readonly slug: WarProblem;
  readonly message: string;
};

export type WarImage = {
  readonly kind: "built";
  readonly image: Digest;
  readonly base: Digest;
  /** 0 where the registry had all of it. */
  readonly pushedBytes: number;
  readonly timingsMs: Readonly<Record<string, number>>;
};

export type WarImageDeps = {
  readonly registry: Registry;
  readonly bases: Bases;
  readonly workDir: string;
  readonly progress: (message: string) => Promise<void>;
  readonly signal: AbortSignal;
};

/**
 * Makes the image of a WAR on the Tomcat base and pushes what the registry lacks. The same WAR on
 * the same base is the same digest on every machine; a refused WAR pushes nothing that a later one
 * could not. Throws where a retry may help: a registry away or full, no disk, an abort.
 */
export async function buildWarImage(
  deps: WarImageDeps,
  request: WarImageRequest,
): Promise<WarImage | WarRefusal> {
  try {
    return await build(deps, request);
  } catch (error) {
    deps.signal.throwIfAborted();
    if (!(error instanceof WarRefused)) throw error;
    return { kind: "refused", slug: error.slug, message: error.message };
  }
}

async function build(deps: WarImageDeps, request: WarImageRequest): Promise<WarImage> {
  const { registry, bases, progress, signal } = deps;
  const timingsMs: Record<string, number> = {};
  const timed = async <T>(step: string, work: () => Promise<T>): Promise<T> => {
    const from = performance.now();
    const result = await work();
    timingsMs[step] = Math.round(performance.now() - from);
    return result;
  };

  await using scratch = await openScratch(deps.workDir, "war");
  const war = join(scratch.path, "app.war");
  const warBytes = await timed("fetch", async () =>
    spool(
      await registry.blob(request.artifactRepository, request.artifact, signal),
      war,
      request.artifact,
    ),
  );
  await using file = await open(war);
  const window = new FileWindow(file, warBytes);
  // Before the base: a WAR that is refused must not wait for a base that is being made.
  const entries = await timed("check", () => readWarEntries(window));
  const plans = planLayers(entries);
  const folder = webappFolder(request.contextPath);
  const base = await timed("base", () => bases.tomcat(progress, signal));
  const image = await timed("read-base", () => loadImage(registry, base, signal));
  const layers = await timed("layers", () =>
    writeLayers(scratch.path, plans, folder, window, signal),
  );
  const pushedBytes = await timed("push", () => push(deps, request, base, image, layers));
  const documents = documentsOf(image, layers, request);
  return {
    kind: "built",
    image: documents.manifest.digest,
    base: base.digest,
    pushedBytes,
    timingsMs,
  };
}

async function writeLayers(
  scratch: string,
  plans: readonly LayerPlan[],
  folder: string,
  window: FileWindow,
  signal: AbortSignal,
): Promise<readonly LayerFile[]> {
  const layers: LayerFile[] = [];
  for (const { name, items } of plans) {
    const layer = await writeLayer(join(scratch, `${name}.tar`), async (writer) => {
      for (const path of foldersDownTo(folder)) await addFolder(writer, path);
      for (const { path, entry } of items) {
        signal.throwIfAborted();
        if (entry === undefined) await addFolder(writer, `${folder}/${path}`);
        else await addFile(writer, `${folder}/${path}`, entry, window);
      }
    });
    layers.push(layer);
  }
  return layers;
}

function addFolder(writer: LayerWriter, path: string): Promise<void> {
  return writer.add({ kind: "directory", path, mode: 0o755, bytes: 0 });
}

async function addFile(
  writer: LayerWriter,
  path: string,
  entry: WarEntry,
  window: FileWindow,
): Promise<void> {
  await writer.add({ kind: "file", path, mode: 0o644, bytes: entry.inflatedBytes });
  await readContent(window, entry, writer.content);
}

async function push(
  { registry, signal }: WarImageDeps,
  request: WarImageRequest,
  base: BaseImage,
  image: Image,
  layers: readonly LayerFile[],
): Promise<number> {
  const { repository } = request;
  const documents = documentsOf(image, layers, request);
  // The manifest goes last, so where it is, all of it is.
  if (await registry.manifestDigest(repository, documents.manifest.digest, signal)) return 0;
  const below = image.layers.map(({ digest }) => digest);
  const [, ...sent] = await Promise.all([
    mountBlobs(registry, repository, base.repository, below, signal),
    ...layers.map((layer) => pushLayer(registry, repository, layer, signal)),
  ]);
  const sentDocuments = await pushDocuments(registry, repository, documents, signal);
  return sent.reduce((sum, bytes) => sum + bytes, sentDocuments);
}

function documentsOf(image: Image, layers: readonly LayerFile[], request: WarImageRequest) {
  return imageDocuments(appendLayers(image, layers), tomcatWarRun(request.tomcatVersion));
}

async function loadImage(
  registry: Registry,
  { repository, digest }: BaseImage,
  signal: AbortSignal,
): Promise<Image> {
  const manifest = await registry.manifest(repository, digest, signal);
  const config = await registry.smallBlob(repository, configDigest(manifest.bytes), signal);
  return readImage(manifest.bytes, config);
}
