import { mkdir, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { eachInTurn } from "../../../kit/each-in-turn.ts";
import { exec } from "../../../kit/exec.ts";
import { namesIn } from "../../disk/durable-file.ts";
import { removeTree } from "../../host/volumes.ts";
import { takeAway } from "../take-away.ts";
import { type ArtifactName, type ArtifactRegistry, artifactName, type Layer } from "./registry.ts";
import { readTar } from "./tar.ts";
import { openUnpacker, UNPACK_LIMITS, type Unpacker, type UnpackLimits } from "./unpack.ts";

const SYNC_MS = 120_000;
const TITLE = "org.opencontainers.image.title";
/** What ORAS says of a folder that it packed; a title without it is a file's name. */
const UNPACK = "io.deis.oras.content.unpack";
const DRAFT = ".new";
const DOOMED = ".gone";

/** Artifacts on this node, each unpacked once, by digest, and shared by all pods that mount it. */
export type Artifacts = {
  /** The folder with what the artifact holds. Two callers share one pull. */
  folder(reference: string): Promise<string>;
  /**
   * Removes those that no reference in use names, and what a killed agent left half-done. What is in
   * use is asked again before each removal; undefined is "nobody knows", and nothing goes.
   */
  keepOnly(inUse: () => readonly string[] | undefined): Promise<void>;
};

export function openArtifacts(
  artifactsDir: string,
  registry: ArtifactRegistry,
  limits: UnpackLimits = UNPACK_LIMITS,
): Artifacts {
  const underWay = new Map<string, Promise<string>>();

  async function unpacked(name: ArtifactName): Promise<string> {
    const done = join(artifactsDir, folderName(name.digest));
    if ((await stat(done).catch(() => undefined)) !== undefined) return done;
    const draft = `${done}${DRAFT}`;
    await removeTree(draft);
    await mkdir(draft, { recursive: true, mode: 0o755 });
    const unpacker = openUnpacker(draft, limits);
    for (const layer of await registry.layers(name))
      await addLayer(unpacker, name.repository, layer);
    // Its bytes are on the disk before its name says that it is whole.
    await exec("/usr/bin/sync", ["--file-system", draft], { timeoutMs: SYNC_MS });
    await rename(draft, done);
    return done;
  }

  async function addLayer(unpacker: Unpacker, repository: string, layer: Layer): Promise<void> {
    const bytes = () => registry.bytes(repository, layer);
    const title = layer.annotations[TITLE];
    if (title !== undefined && layer.annotations[UNPACK] !== "true")
      return unpacker.file(title, bytes());
    const packing = packingOf(layer.mediaType);
    if (packing === "none") return unpacker.layer(readTar(bytes()));
    const opener = packing === "gzip" ? createGunzip() : createZstdDecompress();
    await pipeline(Readable.from(bytes()), opener, (tar) => unpacker.layer(readTar(tar)));
  }

  function mayGo(name: string, inUse: readonly string[] | undefined): boolean {
    if (inUse === undefined) return false;
    const digest = name.replace(DRAFT, "");
    if ([...underWay.keys()].some((it) => folderName(it) === digest)) return false;
    return !inUse.some((it) => folderName(it.slice(it.indexOf("@") + 1)) === name);
  }

  return {
    folder(reference) {
      const name = artifactName(reference);
      const running = underWay.get(name.digest);
      if (running) return running;
      const pull = unpacked(name).finally(() => underWay.delete(name.digest));
      underWay.set(name.digest, pull);
      return pull;
    },
    async keepOnly(inUse) {
      await eachInTurn(await namesIn(artifactsDir), async (name) => {
        const path = join(artifactsDir, name);
        if (name.endsWith(DOOMED)) await removeTree(path);
        else await takeAway(path, `${path}${DOOMED}`, () => mayGo(name, inUse()));
      });
    },
  };
}

/** How a layer's archive is packed. Throws for what is no archive that may be unpacked here. */
function packingOf(mediaType: string): "none" | "gzip" | "zstd" {
  const match =
    /^application\/vnd\.(?:oci\.image\.layer\.v1\.tar|docker\.image\.rootfs\.diff\.tar)(?:[.+](gzip|zstd))?$/.exec(
      mediaType,
    );
  if (!match) throw new Error(`a part of the type ${mediaType} without a title cannot be unpacked`);
  return (match[1] ?? "none") as "none" | "gzip" | "zstd";
}

function folderName(digest: string): string {
  return digest.replace("sha256:", "");
}
