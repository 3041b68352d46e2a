import type { Pod } from "../pod/pod.ts";

/** On every pod of an app that says `singleton`: agents start none after a boot before the api answered. */
export const SINGLETON = "waybill.dev/singleton";

/** How a release takes the place of the one before it, with why for people. */
export type Strategy =
  | { readonly kind: "rolling" }
  /** The old pods end before the new ones start: two must not run side by side. */
  | { readonly kind: "recreate"; readonly why: string };

/** What of a pod decides that. */
export type Shared = {
  readonly metadata: Pick<Pod["metadata"], "annotations">;
  readonly spec: { readonly volumes: Pod["spec"]["volumes"] };
};

export function strategyOf({ metadata, spec }: Shared): Strategy {
  if (metadata.annotations[SINGLETON] === "true")
    return { kind: "recreate", why: "it is a singleton" };
  const [volume] = spec.volumes.flatMap(({ persistentVolumeClaim: it }) =>
    it && !it.readOnly ? [it.claimName] : [],
  );
  if (volume === undefined) return { kind: "rolling" };
  return { kind: "recreate", why: `its pods write to the volume "${volume}"` };
}

/** The same in one sentence. */
export function strategyWords(strategy: Strategy): string {
  return strategy.kind === "rolling"
    ? "rolling: old pods leave once new ones are ready"
    : `recreate, since ${strategy.why}: its old pods end before new ones start, and nothing serves in between`;
}
