import type { PortRange } from "../../contract/pod/host-policy.ts";
import type { Materials } from "../disk/materials.ts";
import type { Outcomes } from "../disk/outcomes.ts";
import type { Places } from "../disk/places.ts";
import type { PodNotes } from "../disk/pod-notes.ts";
import type { Step } from "../plan/steps.ts";
import type { DnsConfig } from "../runtime/cri-config.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Artifacts } from "../volumes/artifact/store.ts";
import type { ImageStore } from "./images.ts";
import { endPod, removeSandboxes } from "./remove-pod.ts";
import { startPod } from "./start-pod.ts";
import { stopContainer } from "./stop.ts";

export type Hands = {
  readonly runtime: Runtime;
  readonly images: ImageStore;
  readonly artifacts: Pick<Artifacts, "folder">;
  readonly materials: Materials;
  readonly outcomes: Pick<Outcomes, "record">;
  readonly notes: PodNotes;
  readonly places: Places;
  /** Prefixes of this host that pods may see. */
  readonly hostPaths: readonly string[];
  /** Ports of this host that pods may have. */
  readonly hostPorts: readonly PortRange[];
  readonly node: () => { readonly nodeName: string | undefined; readonly hostIp: string };
  readonly dns: () => DnsConfig | undefined;
  /** Whether requests may be sent to this address. */
  readonly routed: (ip: string) => boolean;
  /** Resolves when no request is sent to this address any more, or soon anyway: with where they went. */
  readonly withdrawn: (ip: string) => Promise<readonly string[]>;
  readonly connectionsTo: (addresses: readonly string[]) => Promise<number>;
};

type Do = Step["do"];
export type Executors = {
  readonly [D in Do]: (step: Step<D>, givenUp: AbortSignal) => Promise<void>;
};

/**
 * What carries out each kind of step. Every one may be repeated from anywhere in it. A start that is
 * given up rejects rather than wait for its images, which may take a quarter of an hour.
 */
export function executors(hands: Hands): Executors {
  return {
    "start-pod": (step, givenUp) => startPod(hands, step, givenUp),
    "remove-sandboxes": (step) => removeSandboxes(hands, step),
    "stop-container": ({ container: id, ...step }) => stopContainer(hands.runtime, { id, ...step }),
    "end-pod": (step) => endPod(hands, step),
    "remove-containers": async (step) => {
      for (const id of step.containers) await hands.runtime.removeContainer(id);
    },
  };
}

export function perform<D extends Do>(
  table: Executors,
  step: Step<D>,
  givenUp: AbortSignal,
): Promise<void> {
  return table[step.do as D](step, givenUp);
}
