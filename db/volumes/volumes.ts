import { and, asc, eq, inArray, sql } from "drizzle-orm";
import type { AppSpec } from "../../contract/app/app-spec.ts";
import { jsonPointer } from "../../contract/document/document.ts";
import type { NodeId, ProjectId } from "../../contract/ids.ts";
import type { FieldError } from "../../contract/problem.ts";
import type { Tx } from "../client.ts";
import { nodes } from "../schema/core.ts";
import { volumes } from "../schema/material.ts";

/** Its end has two steps: removed (its bytes stay), then purging until its node says that they are gone. */
type VolumeState = "unbound" | "bound" | "removed" | "purging";

export type VolumeRow = {
  readonly name: string;
  readonly state: VolumeState;
  /** The node that holds it; null before its first pod was placed. */
  readonly node: { readonly id: NodeId; readonly name: string } | null;
  readonly createdAt: Date;
  readonly removedAt: Date | null;
};

/** The project's volumes, by name; only this one where a name is given. */
export async function listVolumes(
  tx: Tx,
  project: ProjectId,
  name?: string,
): Promise<readonly VolumeRow[]> {
  const rows = await tx
    .select({
      name: volumes.name,
      nodeId: volumes.nodeId,
      nodeName: nodes.name,
      createdAt: volumes.createdAt,
      removedAt: volumes.removedAt,
      purgeAskedAt: volumes.purgeAskedAt,
    })
    .from(volumes)
    .leftJoin(nodes, eq(nodes.id, volumes.nodeId))
    .where(
      and(eq(volumes.projectId, project), name === undefined ? undefined : eq(volumes.name, name)),
    )
    .orderBy(asc(volumes.name))
    .limit(10_000);
  return rows.map(({ nodeId, nodeName, purgeAskedAt, ...row }) => {
    const node = nodeId !== null && nodeName !== null ? { id: nodeId, name: nodeName } : null;
    const kept = node ? "bound" : "unbound";
    const state = purgeAskedAt ? "purging" : row.removedAt ? "removed" : kept;
    return { ...row, node, state };
  });
}

/**
 * The names of the apps that hold on to each volume: by the release that is wanted, by one that serves
 * or is under way, or by a pod that should run or is still seen.
 */
export async function volumeUsers(
  tx: Tx,
  project: ProjectId,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const rows = await tx.execute<{ volume: string; app: string }>(sql`
    select distinct claim.name #>> '{}' as volume, apps.name as app
    from apps
    join releases on releases.app_id = apps.id
    cross join lateral jsonb_path_query(
      releases.spec, '$.pod.spec.volumes[*].persistentVolumeClaim.claimName') as claim (name)
    where apps.project_id = ${project} and (
      (apps.deleted_at is null and (
        releases.generation = apps.generation
        or releases.phase in ('pending', 'building', 'built', 'rolling', 'live')))
      or exists (select 1 from pods left join pod_status on pod_status.pod_id = pods.id
                 where pods.release_id = releases.id
                   and (pods.wanted = 'run' or pod_status.pod_id is not null)))
    order by 1, 2`);
  const users = Map.groupBy(rows, (row) => row.volume);
  return new Map([...users].map(([volume, of]) => [volume, of.map(({ app }) => app)]));
}

type Claim = { readonly name: string; readonly pointer: string };

// ---- called by api alone, with a declaration ---------------------------------------------------------

/**
 * The named volumes that the specs' pods claim come to be, where they are not there yet. One that was
 * removed is an error of each spec that claims it; pointers start at the pod's spec. The rows are held
 * until the transaction ends, so that none of them is removed meanwhile: all at once and in the order
 * of names, after the specs' apps (see lockApps).
 */
export async function ensureVolumes(
  tx: Tx,
  project: ProjectId,
  specs: readonly AppSpec[],
): Promise<readonly (readonly FieldError[])[]> {
  const names = claimedNames(specs);
  if (names.length === 0) return specs.map(() => []);
  const rows = names.map((name) => ({ projectId: project, name }));
  for (let attempt = 0; attempt < 5; attempt++) {
    await tx.insert(volumes).values(rows).onConflictDoNothing();
    const held = await holdVolumes(tx, project, names);
    // One that was there at the insert may have been purged before it could be held.
    if (held.length === names.length) return specs.map((spec) => removedClaims(spec, held));
  }
  throw new Error(`the volumes ${names.join(", ")} were made and purged, again and again`);
}

/** What `ensureVolumes` would find wrong, for a dry run. */
export async function checkVolumes(
  tx: Tx,
  project: ProjectId,
  specs: readonly AppSpec[],
): Promise<readonly (readonly FieldError[])[]> {
  const names = claimedNames(specs);
  const held = names.length === 0 ? [] : await holdVolumes(tx, project, names);
  return specs.map((spec) => removedClaims(spec, held));
}

function claimedNames(specs: readonly AppSpec[]): readonly string[] {
  return [...new Set(specs.flatMap(claimsOf).map(({ name }) => name))].sort();
}

function claimsOf(spec: AppSpec): readonly Claim[] {
  if (!("pod" in spec)) return [];
  return spec.pod.spec.volumes.flatMap(({ persistentVolumeClaim: claim }, at) => {
    if (!claim) return [];
    const pointer = jsonPointer(["volumes", at, "persistentVolumeClaim", "claimName"]);
    return [{ name: claim.claimName, pointer }];
  });
}

type Held = { readonly name: string; readonly removedAt: Date | null };

async function holdVolumes(
  tx: Tx,
  project: ProjectId,
  names: readonly string[],
): Promise<readonly Held[]> {
  return await tx
    .select({ name: volumes.name, removedAt: volumes.removedAt })
    .from(volumes)
    .where(and(eq(volumes.projectId, project), inArray(volumes.name, [...names])))
    .orderBy(asc(volumes.name))
    .for("share");
}

function removedClaims(spec: AppSpec, held: readonly Held[]): readonly FieldError[] {
  const removed = new Set(held.filter((it) => it.removedAt !== null).map(({ name }) => name));
  return claimsOf(spec)
    .filter(({ name }) => removed.has(name))
    .map(({ name, pointer }) => ({
      pointer,
      message: `the volume "${name}" was removed; POST /v1/volumes/${name}/restore brings it back`,
    }));
}
