import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Digest } from "../../contract/ids.ts";
import { PAUSE_REPOSITORY, PAUSE_TAG } from "../../contract/node/protocol.ts";
import {
  appendLayers,
  emptyImage,
  imageDocuments,
  MANIFEST_TYPE,
  type RunConfig,
} from "./image.ts";
import { type LayerFile, writeLayer } from "./layer-file.ts";
import { ociArchitecture } from "./platform.ts";
import { pushLayer } from "./push.ts";
import { PAUSE_PROGRAM, PAUSE_RUN } from "./recipe/pause.ts";
import { TOMCAT_BASE_REPOSITORY, tomcatBaseTag } from "./recipe/tomcat-base.ts";
import { tomcatWarRun } from "./recipe/tomcat-war.ts";
import type { Registry } from "./registry.ts";
import { makeTomcatLayer, type Proxies } from "./rootfs.ts";
import { type Progress, shareWork } from "./shared-work.ts";
import { hashFile, openScratch } from "./spool.ts";

export type BaseImage = { readonly repository: string; readonly digest: Digest };

/**
 * The images that others stand on. Each is made when it is first asked for and not in the registry,
 * once however many ask, and told about by `progress` every few seconds.
 */
export type Bases = {
  tomcat(progress: Progress, signal: AbortSignal): Promise<BaseImage>;
  pause(progress: Progress, signal: AbortSignal): Promise<Digest>;
};

type Deps = {
  readonly registry: Registry;
  readonly workDir: string;
  /** apt's variables of the way to Debian's packages, where it is not a straight one. */
  readonly proxies?: Proxies;
};

export function openBases(deps: Deps): Bases {
  const tomcat = shareWork((tell, signal) => findOrMakeTomcat(deps, tell, signal));
  const pause = shareWork((tell, signal) => findOrMakePause(deps, tell, signal));
  return { tomcat, pause };
}

async function findOrMakeTomcat(
  deps: Deps,
  tell: (message: string) => void,
  signal: AbortSignal,
): Promise<BaseImage> {
  const { registry, workDir, proxies = {} } = deps;
  const repository = TOMCAT_BASE_REPOSITORY;
  const tag = tomcatBaseTag(ociArchitecture());
  const found = await registry.manifestDigest(repository, tag, signal);
  if (found !== undefined) return { repository, digest: found };

  await using scratch = await openScratch(workDir, "base");
  using stages = tellStages("making the Tomcat base image", tell);
  const making = { folder: scratch.path, proxies, stage: stages.stage, signal };
  const tar = await makeTomcatLayer(making).catch((error: unknown) => {
    signal.throwIfAborted();
    const cause = { cause: error };
    throw new Error(`the Tomcat base image could not be made: failed while ${stages.now()}`, cause);
  });
  stages.stage("storing it");
  const layer = await hashFile(tar);
  const run = tomcatWarRun("10.1");
  return { repository, digest: await pushBase(registry, repository, tag, layer, run, signal) };
}

async function findOrMakePause(
  { registry, workDir }: Deps,
  tell: (message: string) => void,
  signal: AbortSignal,
): Promise<Digest> {
  const found = await registry.manifestDigest(PAUSE_REPOSITORY, PAUSE_TAG, signal);
  if (found !== undefined) return found;

  tell("making the pause image");
  await using scratch = await openScratch(workDir, "pause");
  const program = await readFile(PAUSE_PROGRAM);
  const layer = await writeLayer(join(scratch.path, "layer.tar"), async (writer) => {
    for (const path of ["usr", "usr/bin"]) {
      await writer.add({ kind: "directory", path, mode: 0o755, bytes: 0 });
    }
    const path = PAUSE_PROGRAM.slice(1);
    await writer.add({ kind: "file", path, mode: 0o755, bytes: program.length });
    await writer.content(program);
  });
  return await pushBase(registry, PAUSE_REPOSITORY, PAUSE_TAG, layer, PAUSE_RUN, signal);
}

async function pushBase(
  registry: Registry,
  repository: string,
  tag: string,
  layer: LayerFile,
  run: RunConfig,
  signal: AbortSignal,
): Promise<Digest> {
  const image = appendLayers(emptyImage(ociArchitecture()), [layer]);
  const { config, manifest } = imageDocuments(image, run);
  await pushLayer(registry, repository, layer, signal);
  await registry.putBytes(repository, config.digest, config.bytes, signal);
  // Another worker may have been faster; a tag that is there is never moved.
  const taken = await registry.manifestDigest(repository, tag, signal);
  if (taken !== undefined) return taken;
  await registry.putManifest(
    repository,
    tag,
    { bytes: manifest.bytes, mediaType: MANIFEST_TYPE },
    signal,
  );
  return manifest.digest;
}

const TELL_EVERY_MS = 3_000;

/** Says each stage when it begins and, with the seconds since the start, every few seconds while it lasts. */
function tellStages(title: string, tell: (message: string) => void) {
  const from = performance.now();
  let stage = "starting";
  const say = () => tell(`${title}: ${stage} (${Math.round((performance.now() - from) / 1000)} s)`);
  const timer = setInterval(say, TELL_EVERY_MS);
  return {
    stage: (next: string) => {
      if (next === stage) return;
      stage = next;
      say();
    },
    now: () => stage,
    [Symbol.dispose]: () => clearInterval(timer),
  };
}
