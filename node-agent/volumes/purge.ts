import { mkdir, rename, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { VolumeKey } from "../../contract/material/material.ts";
import { POD_LABELS, type Pod } from "../../contract/pod/pod.ts";
import type { Places } from "../disk/places.ts";
import { removeTree } from "../host/volumes.ts";
import type { View } from "../run.ts";

export type Purger = {
  /** Deletes what the wish names for it and no pod here uses. */
  pass(): Promise<void>;
  /** Those of the wish that are gone, as far as the last pass has seen. */
  purged(): readonly VolumeKey[];
};

/** Takes named volumes away, which happens only to those that the wish names. */
export function openPurger(places: Places, view: () => View | undefined): Purger {
  let gone: readonly VolumeKey[] = [];

  /** First out of its place, whole, so that no pod ever finds the half of a volume. */
  async function purge(key: VolumeKey): Promise<void> {
    const path = places.namedVolume(key);
    const doomed = join(places.namedVolumesDir, ".purged", key.project, key.name);
    await removeTree(doomed);
    if ((await stat(path).catch(() => undefined)) === undefined) return;
    await mkdir(dirname(doomed), { recursive: true, mode: 0o700 });
    await rename(path, doomed);
    await removeTree(doomed);
  }

  return {
    purged: () => gone,
    async pass() {
      const now = view();
      if (!now) return;
      const unused = now.desired.purgeVolumes.filter((it) => !mayBeUsed(it, now));
      for (const key of unused) await purge(key);
      gone = unused;
    },
  };
}

/** Pure. A pod of which nothing is known may use any volume. */
export function mayBeUsed(key: VolumeKey, { desired, seen, busy }: View): boolean {
  const wanted = new Map(desired.pods.map((it) => [it.metadata.uid, it] as const));
  const others = new Set([...busy, ...seen.map((it) => it.pod)].filter((it) => !wanted.has(it)));
  const known = seen.flatMap((it) => it.spec ?? []);
  const told = new Set(known.map((it) => it.metadata.uid));
  if ([...others].some((it) => !told.has(it))) return true;
  return [...wanted.values(), ...known].some((it) => claims(it, key));
}

function claims({ metadata, spec }: Pod, { project, name }: VolumeKey): boolean {
  if (metadata.labels[POD_LABELS.project] !== project) return false;
  return spec.volumes.some((it) => it.persistentVolumeClaim?.claimName === name);
}
