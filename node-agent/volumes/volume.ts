import type { Pod } from "../../contract/pod/pod.ts";
import type { PodValues } from "../disk/materials.ts";
import type { Places } from "../disk/places.ts";
import type { Mount } from "../host/mounts.ts";

/** A volume as a container may mount it: a path of this host's that only root gets to. */
export type ReadyVolume = { readonly path: string; readonly readOnly: boolean };

/** What a volume is made from, and where. */
export type Surroundings = {
  readonly pod: Pod;
  readonly places: Places;
  readonly podDir: string;
  readonly volumesDir: string;
  /** What was mounted when this pod's turn began, by mount point. */
  readonly mounted: ReadonlyMap<string, Mount>;
  readonly values: PodValues;
  /** Prefixes that the operator of this node lets pods see. */
  readonly hostPaths: readonly string[];
  /** The folder that an artifact is unpacked in. */
  readonly artifact: (reference: string) => Promise<string>;
};
