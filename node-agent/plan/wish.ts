import type { DesiredState } from "../../contract/node/protocol.ts";
import type { Pod } from "../../contract/pod/pod.ts";
import type { SeenSandbox } from "../observe.ts";
import { isPlanned } from "./accept.ts";
import type { WantedPod } from "./plan.ts";

export type Wish = {
  readonly wanted: readonly WantedPod[];
  /** Whether what is not wanted is to leave: false where the wish is only what is here. */
  readonly leaving: boolean;
  /** Whether somebody has decided about this node; else the wish is what ran here for another one, or before. */
  readonly planned: boolean;
};

/**
 * What should be here. While nobody has said so (a ledger that could not be read, a control plane that
 * lost its database), the pods that are here are wanted as they are: what crashes is started again,
 * and nothing is taken away. Pure.
 */
export function wishOf(
  desired: DesiredState | undefined,
  seen: readonly SeenSandbox[],
  fingerprint: (pod: Pod) => string,
): Wish {
  if (desired === undefined || !isDecided(desired))
    return { wanted: found(seen), leaving: false, planned: false };
  const wanted = desired.pods.map((pod) => ({ pod, fingerprint: fingerprint(pod) }));
  return { wanted, leaving: true, planned: isPlanned(desired) };
}

/** No pods, and nobody who has decided so: that asks for nothing, neither a start nor a removal. */
export function isDecided(desired: DesiredState): boolean {
  return isPlanned(desired) || desired.pods.length > 0;
}

/** The newest sandbox speaks for its pod, under the fingerprint that it was given. */
function found(seen: readonly SeenSandbox[]): readonly WantedPod[] {
  return [...Map.groupBy(seen, (it) => it.pod).values()].flatMap(([newest]) =>
    newest?.spec?.metadata.uid === newest?.pod && newest?.spec
      ? [{ pod: newest.spec, fingerprint: newest.fingerprint }]
      : [],
  );
}
