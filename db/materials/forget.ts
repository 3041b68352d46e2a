import { type SQL, sql } from "drizzle-orm";
import type { Db } from "../client.ts";
import { configMaps, secrets } from "../schema/material.ts";

/** How many of an app's releases that served keep their versions: as far back as somebody may want to go. */
const KEPT_RELEASES = 10;

/**
 * Forgets the versions of config maps and secrets that nobody can come to need: overtaken by another for
 * an hour, so that no release is just being made with them, and frozen neither by a release that is
 * wanted, under way or among the last ten that served, nor by one that a pod still runs of. At most
 * 1,000 of each kind at once, and none that somebody holds.
 */
export async function forgetOldVersions(db: Db): Promise<void> {
  await forget(db, sql`${configMaps}`, "configMaps");
  await forget(db, sql`${secrets}`, "secrets");
}

async function forget(db: Db, table: SQL, member: "configMaps" | "secrets"): Promise<void> {
  await db.execute(sql`
    with ranked as (
      select releases.*, apps.project_id, apps.deleted_at, apps.generation as wanted,
             row_number() over (
               partition by app_id, phase in ('live', 'retired') order by number desc) as place
      from releases join apps on apps.id = releases.app_id),
    kept as (
      select distinct project_id, named.key as name, named.value::int as version
      from ranked cross join lateral jsonb_each_text(materials -> ${member}::text) as named
      where (deleted_at is null and (
              generation = wanted
              or phase in ('pending', 'building', 'built', 'rolling', 'live')
              or (phase = 'retired' and place <= ${KEPT_RELEASES})))
         or exists (select 1 from pods where release_id = ranked.id and pods.wanted = 'run'))
    delete from ${table} where (project_id, name, version) in (
      select project_id, name, version from ${table} as old
      where exists (
          select 1 from ${table} as newer
          where newer.project_id = old.project_id and newer.name = old.name
            and newer.version > old.version and newer.created_at < now() - interval '1 hour')
        and not exists (
          select 1 from kept where kept.project_id = old.project_id
            and kept.name = old.name and kept.version = old.version)
      limit 1000 for update of old skip locked)`);
}
