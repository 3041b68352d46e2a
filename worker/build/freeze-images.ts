import type { ImageAppSpec, PodAppSpec } from "../../contract/app/app-spec.ts";
import type { BuildClaim } from "../../db/apps/builds.ts";
import { repositoriesInUse } from "../../db/apps/built-images.ts";
import type { Db } from "../../db/client.ts";
import type { Egress } from "../egress/request.ts";
import { resolveImages } from "./images/resolve.ts";
import type { Made } from "./made.ts";
import { ociArchitecture } from "./platform.ts";
import type { Registry } from "./registry.ts";

type Deps = {
  readonly db: Db;
  readonly registry: Registry;
  readonly egress: Egress;
  readonly ownAddresses: ReadonlySet<string>;
  readonly progress: (message: string) => Promise<void>;
  readonly signal: AbortSignal;
};

/** As many as are asked for a layer before it is fetched: each costs a question to the registry beside us. */
const MAX_NEIGHBOURS = 10;

/** Freezes a release that names images: what each name stands for, and the port that they answer on. */
export async function freezeImages(
  deps: Deps,
  claim: BuildClaim,
  spec: ImageAppSpec | PodAppSpec,
): Promise<Made> {
  const { db, registry, egress, ownAddresses, progress, signal } = deps;
  const resolved = await resolveImages(
    {
      registry,
      egress,
      reader: { project: claim.project, ownAddresses },
      platform: { os: "linux", architecture: ociArchitecture() },
      neighbours: await repositoriesInUse(db, claim.project, MAX_NEIGHBOURS),
      tell: progress,
      signal,
    },
    spec,
  );
  if (resolved.kind === "refused") return resolved;
  const { images, repository, image, httpPort } = resolved;
  const names = Object.entries(images).map(([name, it]) => `${name} is ${it}`);
  return {
    kind: "made",
    built: { repository, image, base: null, images, httpPort },
    message: `${names.join(", ")}: found`,
    figures: { images },
  };
}
