import type { WarAppSpec } from "../../contract/app/app-spec.ts";
import type { BuildClaim } from "../../db/apps/builds.ts";
import { imageOfEqualRelease } from "../../db/apps/built-images.ts";
import type { Db } from "../../db/client.ts";
import type { Made } from "./made.ts";
import { buildWarImage, type WarImageDeps } from "./war-image.ts";

/** Builds the image of a release whose source is a WAR, or finds it where an earlier release was the same. */
export async function makeWarRelease(
  deps: WarImageDeps & { readonly db: Db },
  claim: BuildClaim,
  { war, tomcat, http, name }: WarAppSpec,
): Promise<Made> {
  const { db, bases, registry, progress, signal } = deps;
  const frozen = { images: null, httpPort: http.port };
  const base = await bases.tomcat(progress, signal);
  const earlier = await imageOfEqualRelease(db, claim, base.digest);
  // A registry that lost its bytes gets them again, and no pod waits for what is not there.
  if (earlier && (await registry.manifestDigest(earlier.repository, earlier.image, signal))) {
    const built = { ...frozen, ...earlier, base: base.digest };
    const message = "the image of an earlier release is the same, found";
    return { kind: "made", built, message, figures: {} };
  }
  const repository = `apps/${claim.project}/${name}`;
  const result = await buildWarImage(deps, {
    artifact: war.artifact,
    artifactRepository: `artifacts/${claim.project}`,
    repository,
    contextPath: war.contextPath,
    tomcatVersion: tomcat.version,
  });
  if (result.kind === "refused") return result;
  const { image, pushedBytes, timingsMs } = result;
  return {
    kind: "made",
    built: { ...frozen, repository, image, base: result.base },
    message: `built ${image}, ${pushedBytes} bytes pushed`,
    figures: { pushedBytes, timingsMs },
  };
}
