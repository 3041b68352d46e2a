import { type DesiredState, PAUSE_IMAGE, REGISTRY_NAME } from "../../contract/node/protocol.ts";
import { imagesOf, type Pod } from "../../contract/pod/pod.ts";
import type { Image } from "../runtime/runtime.ts";

/*
 * Images are cheap to keep and dear to fetch again, so nothing is collected while there is room. The
 * two marks are the kubelet's: above 85 % the rest may be gone within minutes, as an app fills it with
 * files, and down to 80 % there is room for the next pull without a collection for each.
 */
const FULL_SHARE = 0.85;
const RELIEVED_SHARE = 0.8;

/** In bytes; `free` is what an unprivileged writer would still get. */
export type Disk = { readonly total: number; readonly free: number };

export function isFull(disk: Disk): boolean {
  return usedShare(disk) > FULL_SHARE;
}

export function isRelieved(disk: Disk): boolean {
  return usedShare(disk) <= RELIEVED_SHARE;
}

function usedShare({ total, free }: Disk): number {
  return total === 0 ? 0 : 1 - free / total;
}

/** Every image that is needed here: by the wish, by the release before, by a pod that is still here. */
export function keptImages(
  desired: Pick<DesiredState, "pods" | "keepImages">,
  here: readonly Pod[],
): ReadonlySet<string> {
  const pods = [...desired.pods, ...here].flatMap((it) => imagesOf(it.spec));
  return new Set([PAUSE_IMAGE, ...desired.keepImages, ...pods]);
}

/**
 * The images that may go, the one longest unwanted first. One that did not come through Waybill is
 * somebody else's, and is never among them.
 */
export function collectable(
  images: readonly Image[],
  kept: ReadonlySet<string>,
  lastWantedAtMs: ReadonlyMap<string, number>,
): readonly Image[] {
  const wantedAtMs = (image: Image) => lastWantedAtMs.get(image.id) ?? 0;
  return images
    .filter(({ references }) => references.some((it) => it.startsWith(`${REGISTRY_NAME}/`)))
    .filter(({ references }) => !references.some((it) => kept.has(it)))
    .toSorted((a, b) => wantedAtMs(a) - wantedAtMs(b) || (a.id < b.id ? -1 : 1));
}
