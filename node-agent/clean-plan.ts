import { PAUSE_IMAGE } from "../contract/node-protocol.ts";
import type { Image } from "./runtime/runtime.ts";

/** An image that nobody wants is kept this long, for a rollback or a restarted release. */
export const KEEP_IMAGE_MS = 10 * 60_000;

/**
 * The images to remove: neither wanted now nor within the last ten minutes, as far as `lastWantedAtMs`
 * (by image id) knows; one that it does not know has just been seen for the first time. Pure.
 */
export function surplusImages(
  images: readonly Image[],
  wanted: ReadonlySet<string>,
  lastWantedAtMs: ReadonlyMap<string, number>,
  nowMs: number,
): readonly Image[] {
  return images.filter((image) => {
    if (image.references.some((it) => it === PAUSE_IMAGE || wanted.has(it))) return false;
    return nowMs - (lastWantedAtMs.get(image.id) ?? nowMs) >= KEEP_IMAGE_MS;
  });
}

/** Log files of starts before the last two; names that are not ours are left alone. Pure. */
export function staleLogs(files: readonly string[]): readonly string[] {
  const starts = files.flatMap((file) => {
    const match = /^(.+)\.(\d+)\.log(?:\.1)?$/.exec(file);
    return match ? [{ file, container: match[1] ?? "", attempt: Number(match[2]) }] : [];
  });
  return starts
    .filter((it) => {
      const newer = starts.filter(
        (other) => other.container === it.container && other.attempt > it.attempt,
      );
      return new Set(newer.map((other) => other.attempt)).size >= 2;
    })
    .map((it) => it.file);
}

/** Entries named after pods that are neither wanted nor here any more. Pure. */
export function orphans(names: readonly string[], known: ReadonlySet<string>): readonly string[] {
  return names.filter((name) => !known.has(name));
}
