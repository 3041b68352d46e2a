import { statfs } from "node:fs/promises";
import { eachInTurn } from "../../kit/each-in-turn.ts";
import type { Log } from "../../kit/log.ts";
import type { View } from "../run.ts";
import type { Image, Runtime } from "../runtime/runtime.ts";
import { collectable, type Disk, isFull, isRelieved, keptImages } from "./plan-images.ts";

export type ImageCollector = {
  /** Makes room where the images' disk is nearly full; does nothing while it is not. */
  relieve(): Promise<void>;
  /** Removes all that nobody keeps, for a pull that found no room; answers how many went. */
  collectAll(): Promise<number>;
};

type Deps = {
  readonly runtime: Pick<Runtime, "images" | "removeImage" | "imageFilesystem">;
  /** Undefined while nobody has decided what should be here: then every image is kept. */
  readonly view: () => View | undefined;
  readonly log: Log;
};

/** Collects images under disk pressure only, and never one that is kept (see plan-images.ts). */
export function openImageCollector({ runtime, view, log }: Deps): ImageCollector {
  const lastWantedAtMs = new Map<string, number>();

  /** Those that may go, in order. Asks who is wanted after the list: a pull comes after its wish. */
  async function candidates(): Promise<readonly Image[]> {
    const images = await runtime.images();
    const now = view();
    if (!now) return [];
    const here = now.seen.map((it) => it.spec).filter((it) => it !== undefined);
    const wanted = new Set(now.desired.pods.map((it) => it.metadata.uid));
    // Of a pod that says neither itself nor by its wish what it is made of, nobody knows its images.
    if (now.seen.some((it) => it.spec === undefined && !wanted.has(it.pod))) return [];
    const kept = keptImages(now.desired, here);
    const nowMs = performance.now();
    for (const { id, references } of images) {
      const known = lastWantedAtMs.has(id);
      if (!known || references.some((it) => kept.has(it))) lastWantedAtMs.set(id, nowMs);
    }
    const present = new Set(images.map((it) => it.id));
    for (const id of lastWantedAtMs.keys()) if (!present.has(id)) lastWantedAtMs.delete(id);
    return collectable(images, kept, lastWantedAtMs);
  }

  async function remove({ id, references }: Image): Promise<void> {
    await runtime.removeImage(id);
    log.info("an image was removed to make room", { image: references[0] ?? id });
  }

  return {
    async relieve() {
      const unwanted = await candidates();
      if (!isFull(await imageDisk(runtime))) return;
      let relieved = false;
      await eachInTurn(unwanted, async (image) => {
        if (relieved) return;
        await remove(image);
        relieved = isRelieved(await imageDisk(runtime));
      });
      if (relieved) return;
      log.warn("the images' disk is nearly full, and every image left on it is needed");
    },
    async collectAll() {
      let gone = 0;
      await eachInTurn(await candidates(), async (image) => {
        await remove(image);
        gone += 1;
      }).catch((error: unknown) => log.error("an image that nobody needs is still here", error));
      return gone;
    },
  };
}

async function imageDisk(runtime: Pick<Runtime, "imageFilesystem">): Promise<Disk> {
  const { mountpoint } = await runtime.imageFilesystem();
  const { blocks, bavail, bsize } = await statfs(mountpoint);
  return { total: blocks * bsize, free: bavail * bsize };
}
