import type { FieldError } from "../../contract/problem.ts";
import { lockApps } from "../../db/apps/apps.ts";
import { knownArtifacts } from "../../db/apps/artifacts.ts";
import type { Tx } from "../../db/client.ts";
import { freezeMaterials, type KnownMaterial } from "../../db/materials/materials.ts";
import type { Materials } from "../../db/schema/core.ts";
import { checkVolumes, ensureVolumes } from "../../db/volumes/volumes.ts";
import type { KnownCall } from "../http/route.ts";
import { type Checked, specInvalid } from "./check.ts";

/** A spec all of whose references stand, with the versions that its release freezes. */
export type Found = Checked & { readonly materials: Materials };

/**
 * Finds what the specs name beside themselves: uploads, secrets, config maps and named volumes, which
 * come to be here. Everything that is missing, of all the specs, is told at once.
 */
export async function findReferences(
  tx: Tx,
  call: KnownCall,
  specs: readonly Checked[],
): Promise<readonly Found[]> {
  const names = specs.map(({ spec }) => spec.name);
  await lockApps(tx, call.caller.projectId, names);
  return await find(tx, call, specs, { planned: [], volumes: ensureVolumes });
}

/**
 * The same for a dry run, which writes nothing. `planned` are the secrets and config maps that the
 * request would make.
 */
export async function planReferences(
  tx: Tx,
  call: KnownCall,
  specs: readonly Checked[],
  planned: readonly KnownMaterial[] = [],
): Promise<readonly Found[]> {
  return await find(tx, call, specs, { planned, volumes: checkVolumes });
}

async function find(
  tx: Tx,
  call: KnownCall,
  specs: readonly Checked[],
  how: {
    readonly planned: readonly KnownMaterial[];
    readonly volumes: typeof ensureVolumes;
  },
): Promise<readonly Found[]> {
  const { projectId } = call.caller;
  const errors = [...(await missingArtifacts(tx, call, specs))];
  const found: Found[] = [];
  const plain = specs.map(({ spec }) => spec);
  const volumes = await how.volumes(tx, projectId, plain);
  for (const [index, checked] of specs.entries()) {
    const frozen = await freezeMaterials(tx, projectId, checked.spec, how.planned);
    const at = checked.at + checked.podAt;
    errors.push(
      ...[...frozen.errors, ...(volumes[index] ?? [])].map(({ pointer, message }) => ({
        pointer: at + pointer,
        message,
      })),
    );
    found.push({ ...checked, materials: frozen.materials });
  }
  if (errors.length > 0) throw specInvalid(errors);
  return found;
}

/** Digests that the project never uploaded: another project's bytes are nobody's business. */
async function missingArtifacts(
  tx: Tx,
  call: KnownCall,
  specs: readonly Checked[],
): Promise<readonly FieldError[]> {
  const wanted = specs.flatMap(({ spec, at }) =>
    "war" in spec ? [{ artifact: spec.war.artifact, pointer: `${at}/war/artifact` }] : [],
  );
  if (wanted.length === 0) return [];
  const known = await knownArtifacts(
    tx,
    call.caller.projectId,
    wanted.map(({ artifact }) => artifact),
  );
  return wanted
    .filter(({ artifact }) => !known.has(artifact))
    .map(({ pointer }) => ({
      pointer,
      message: "no upload has this digest; send the file to POST /v1/artifacts first",
    }));
}
