import { existsSync } from "node:fs";
import { join } from "node:path";
import type { VolumeKey } from "../../contract/material/material.ts";
import { POD_LABELS, type Pod } from "../../contract/pod/pod.ts";
import { eachInTurn } from "../../kit/each-in-turn.ts";
import type { Places } from "../disk/places.ts";
import type { View } from "../run.ts";
import { takeAway } from "./take-away.ts";

export type Purger = {
  /** Deletes what the wish names for it and no pod here uses. */
  pass(): Promise<void>;
  /** Those of the wish that the last pass has found or made gone, and nobody has made since. */
  purged(): readonly VolumeKey[];
};

/** Takes named volumes away, which happens only to those that the wish names. */
export function openPurger(places: Places, view: () => View | undefined): Purger {
  let gone: readonly VolumeKey[] = [];

  function mayGo(key: VolumeKey): boolean {
    const now = view();
    return now !== undefined && isDoomed(key, now) && !mayBeUsed(key, now);
  }

  async function purge(key: VolumeKey): Promise<boolean> {
    const doomed = join(places.namedVolumesDir, ".purged", key.project, key.name);
    return takeAway(places.namedVolume(key), doomed, () => mayGo(key));
  }

  return {
    // A pass may take minutes, and one of the same name may have been made meanwhile.
    purged: () => gone.filter((it) => !existsSync(places.namedVolume(it))),
    async pass() {
      const now = view();
      if (!now) return;
      const done: VolumeKey[] = [];
      try {
        await eachInTurn(now.desired.purgeVolumes, async (key) => {
          if (await purge(key)) done.push(key);
        });
      } finally {
        gone = done;
      }
    },
  };
}

function isDoomed({ project, name }: VolumeKey, { desired }: View): boolean {
  return desired.purgeVolumes.some((it) => it.project === project && it.name === name);
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
