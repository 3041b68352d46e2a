import { sql } from "drizzle-orm";
import type { AppSpec } from "../../contract/app/app-spec.ts";
import type { ProjectId } from "../../contract/ids.ts";
import { inMib, jsonBytes, MAX_POD_BYTES } from "../../contract/node/wish-size.ts";
import {
  type MaterialKind,
  type MaterialUse,
  materialUses,
} from "../../contract/pod/material-use.ts";
import type { FieldError } from "../../contract/problem.ts";
import type { Tx } from "../client.ts";
import type { Materials } from "../schema/core.ts";
import { configMaps, secrets } from "../schema/material.ts";

/** The newest version of a secret or a config map, and which keys it has. */
export type KnownMaterial = {
  readonly kind: MaterialKind;
  readonly name: string;
  readonly version: number;
  readonly keys: readonly string[];
  /** As a node is told it. */
  readonly wireBytes: number;
};

export type Frozen = {
  readonly materials: Materials;
  /** What is named and not there; pointers start at the pod's spec. */
  readonly errors: readonly FieldError[];
};

/**
 * The newest version of every secret and config map that the spec's pod names. One that is missing, or
 * has not the key, is an error unless it is optional. `planned` are those that the same request would
 * make, for a dry run. The rows are held until the transaction ends, so that nobody removes them.
 */
export async function freezeMaterials(
  tx: Tx,
  project: ProjectId,
  spec: AppSpec,
  planned: readonly KnownMaterial[] = [],
): Promise<Frozen> {
  const uses = "pod" in spec ? materialUses(spec.pod.spec) : [];
  const stored = await newestOf(tx, project, uses);
  const known = new Map([...stored, ...planned].map((it) => [`${it.kind}/${it.name}`, it]));
  const frozen = {
    secrets: {} as Record<string, number>,
    configMaps: {} as Record<string, number>,
  };
  const errors: FieldError[] = [];
  for (const use of uses) {
    const found = known.get(`${use.kind}/${use.name}`);
    if (found) frozen[use.kind === "Secret" ? "secrets" : "configMaps"][use.name] = found.version;
    errors.push(...missing(use, found));
  }
  const named = new Set(uses.map((it) => `${it.kind}/${it.name}`));
  const given = [...known.values()].filter((it) => named.has(`${it.kind}/${it.name}`));
  return { materials: frozen, errors: [...errors, ...tooMuch(spec, given)] };
}

/** What a node is told reaches it in one answer, and one pod is to be a part of that. */
function tooMuch(spec: AppSpec, given: readonly KnownMaterial[]): readonly FieldError[] {
  const own = jsonBytes(spec);
  const bytes = given.reduce((sum, it) => sum + it.wireBytes, own);
  if (bytes <= MAX_POD_BYTES) return [];
  const largest = given
    .toSorted((a, b) => b.wireBytes - a.wireBytes)
    .slice(0, 5)
    .map((it) => `, the ${it.kind} "${it.name}" ${inMib(it.wireBytes)}`);
  const message =
    `a pod with all that it names would send its node ${inMib(bytes)}, and ${inMib(MAX_POD_BYTES)} ` +
    `are the most: its own text is ${inMib(own)}${largest.join("")}. Put large files into an image, ` +
    "or into a volume";
  return [{ pointer: "", message }];
}

function missing(use: MaterialUse, found: KnownMaterial | undefined): readonly FieldError[] {
  if (use.optional) return [];
  if (!found) {
    const message = `there is no ${use.kind} named "${use.name}"; send it to POST /v1/apply, in the same call if you like`;
    return [{ pointer: use.pointer, message }];
  }
  return use.keys
    .filter(({ key }) => !found.keys.includes(key))
    .map(({ key, pointer }) => ({
      pointer,
      message: `the ${use.kind} "${use.name}" has no key "${key}" in its version ${found.version}`,
    }));
}

async function newestOf(
  tx: Tx,
  project: ProjectId,
  uses: readonly MaterialUse[],
): Promise<readonly KnownMaterial[]> {
  const found: KnownMaterial[] = [];
  for (const kind of ["ConfigMap", "Secret"] as const) {
    const names = new Set(uses.filter((it) => it.kind === kind).map(({ name }) => name));
    if (names.size > 0) found.push(...(await holdNewest(tx, project, kind, [...names])));
  }
  return found;
}

/** In the order of names, so that two of these never wait for each other. */
async function holdNewest(
  tx: Tx,
  project: ProjectId,
  kind: MaterialKind,
  names: readonly string[],
): Promise<KnownMaterial[]> {
  const table = kind === "Secret" ? secrets : configMaps;
  const keys =
    kind === "Secret"
      ? sql`it.keys`
      : sql`array(select jsonb_object_keys(it.data) union select jsonb_object_keys(it.binary))`;
  type Row = { name: string; version: number; keys: string[]; wireBytes: number };
  const rows = await tx.execute<Row>(sql`
    select it.name, it.version, ${keys} as keys, it.wire_bytes as "wireBytes" from ${table} as it
    where it.project_id = ${project}
      and it.name in (select jsonb_array_elements_text(${JSON.stringify(names)}::jsonb))
      and it.version = (select max(newest.version) from ${table} as newest
                        where newest.project_id = it.project_id and newest.name = it.name)
    order by it.name for key share of it`);
  return [...rows].map((row) => ({ kind, ...row }));
}

/** An app that names a secret or a config map, and the newest version that a release of it has. */
export type MaterialUser = { readonly app: string; readonly version: number };

/**
 * Which apps hold on to each secret and config map, by "<kind>/<name>": by the release that is wanted,
 * by one that serves or is under way, or by a pod that should still run.
 */
export async function materialUsers(
  tx: Tx,
  project: ProjectId,
): Promise<ReadonlyMap<string, readonly MaterialUser[]>> {
  const rows = await tx.execute<{ material: string; app: string; version: number }>(sql`
    select kind.name || '/' || named.key as material, apps.name as app, max(named.value::int) as version
    from apps
    join releases on releases.app_id = apps.id
    cross join (values ('Secret', 'secrets'), ('ConfigMap', 'configMaps')) as kind (name, member)
    cross join lateral jsonb_each_text(releases.materials -> kind.member) as named
    where apps.project_id = ${project} and (
      (apps.deleted_at is null and (
        releases.generation = apps.generation
        or releases.phase in ('pending', 'building', 'built', 'rolling', 'live')))
      or exists (select 1 from pods where pods.release_id = releases.id and pods.wanted = 'run'))
    group by 1, 2 order by 1, 2`);
  const users = Map.groupBy(rows, (row) => row.material);
  return new Map(
    [...users].map(([material, of]) => [
      material,
      of.map(({ app, version }) => ({ app, version })),
    ]),
  );
}

// ---- called by api alone --------------------------------------------------------------------------

/** One name of one kind, held until the transaction ends: its versions come one after the other. */
export async function lockMaterial(
  tx: Tx,
  project: ProjectId,
  kind: MaterialKind,
  name: string,
): Promise<void> {
  const text = `material|${project}|${kind}|${name}`;
  await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(${text}, 0))`);
}

/**
 * The version after `newest`. A name that comes back after it was removed goes on behind the last
 * version that a release knows: to a node, the same name with the same version is the same content.
 */
export async function nextVersion(
  tx: Tx,
  project: ProjectId,
  { kind, name }: { readonly kind: MaterialKind; readonly name: string },
  newest: number | undefined,
): Promise<number> {
  if (newest !== undefined) return newest + 1;
  const member = kind === "Secret" ? "secrets" : "configMaps";
  const [row] = await tx.execute<{ last: number | null }>(sql`
    select max((releases.materials -> ${member}::text ->> ${name}::text)::int) as last
    from releases join apps on apps.id = releases.app_id
    where apps.project_id = ${project}`);
  return (row?.last ?? 0) + 1;
}

/** Holds every version of one name against releases that are just being made. */
export async function holdMaterial(
  tx: Tx,
  project: ProjectId,
  kind: MaterialKind,
  name: string,
): Promise<void> {
  const table = kind === "Secret" ? secrets : configMaps;
  await tx.execute(sql`
    select 1 from ${table} where project_id = ${project} and name = ${name} for update`);
}
