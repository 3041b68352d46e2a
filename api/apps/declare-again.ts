import { Problem } from "../../contract/problem.ts";
import type { Built } from "../../db/apps/builds.ts";
import type { ReleaseRow } from "../../db/apps/history.ts";
import type { Tx } from "../../db/client.ts";
import { type MissingVersion, missingVersions } from "../../db/materials/missing-versions.ts";
import { ensureVolumes } from "../../db/volumes/volumes.ts";
import type { KnownCall } from "../http/route.ts";
import type { Changed } from "./change.ts";
import { type Checked, checkSpec, specInvalid } from "./check.ts";
import { type Accepted, declare } from "./declare.ts";

/** A release that was built, and what it was frozen to. */
export type Base = { readonly release: ReleaseRow; readonly built: Built };

/**
 * A release with this spec that is made of what `base` was made of: the same images, and the same
 * versions of secrets and config maps. So its pods are those of `base` but for what the spec says, and
 * those that run already stay. In the caller's transaction, which has locked the app.
 */
export async function declareAgain(
  tx: Tx,
  call: KnownCall,
  { release, built }: Base,
  { spec, podAt }: Checked,
  because: string,
): Promise<Changed<Accepted>> {
  const { projectId } = call.caller;
  const errors = (await ensureVolumes(tx, projectId, [spec])).flat();
  if (errors.length > 0) {
    throw specInvalid(errors.map((it) => ({ ...it, pointer: podAt + it.pointer })));
  }
  const { materials, number } = release;
  const missing = await missingVersions(tx, projectId, materials);
  if (missing.length > 0) {
    throw cannotComeBack(
      spec.name,
      number,
      `${missing.map(inWords).join(", ")} is not kept any more`,
    );
  }
  return await declare(tx, call, { spec, materials }, { built, because });
}

/** The stored spec as the rules of today take it; they hold for what comes again, too. */
export function checkAgain(call: KnownCall, spec: object, name: string): Checked {
  try {
    return checkSpec(call, spec, name);
  } catch (error) {
    if (!(error instanceof Problem) || error.slug !== "spec-invalid") throw error;
    const why = `What ${name} was is refused by the rules of today, and nothing was changed: PUT a spec that they take.`;
    throw new Problem("spec-invalid", why, { extras: error.extras, cause: error });
  }
}

export function cannotComeBack(app: string, release: number, why: string): Problem {
  return new Problem("cannot-come-back", `Release ${release} of ${app} cannot come back: ${why}.`);
}

function inWords({ kind, name, version }: MissingVersion): string {
  return `version ${version} of the ${kind} "${name}"`;
}
