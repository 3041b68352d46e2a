import { and, desc, eq, isNotNull, sql } from "drizzle-orm";
import type { Digest } from "../../contract/ids.ts";
import type { Db } from "../client.ts";
import { apps, projects, releases } from "../schema/core.ts";
import type { BuildClaim } from "./builds.ts";

/* What earlier releases left in the registry that a build need not make or fetch again: only worker/build asks. */

/** The image of an earlier release of this app that was made of the same WAR, path, Tomcat and base. */
export async function imageOfEqualRelease(
  db: Db,
  claim: BuildClaim,
  base: Digest,
): Promise<{ repository: string; image: Digest } | undefined> {
  if (!("war" in claim.spec)) return undefined;
  const { war, tomcat } = claim.spec;
  const [row] = await db
    .select({ repository: releases.imageRepository, image: releases.imageDigest })
    .from(releases)
    .where(
      and(
        eq(releases.appId, claim.app),
        eq(releases.baseDigest, base),
        sql`${releases.spec}->'war' = ${JSON.stringify(war)}::jsonb`,
        sql`${releases.spec}->'tomcat'->>'version' = ${tomcat.version}`,
      ),
    )
    .orderBy(desc(releases.number))
    .limit(1);
  return row?.repository && row.image
    ? { repository: row.repository, image: row.image }
    : undefined;
}

/**
 * Repositories that the newest releases of a project's apps have images in, the newest first: where a
 * layer that an image needs may lie already.
 */
export async function repositoriesInUse(
  db: Db,
  project: string,
  atMost: number,
): Promise<readonly string[]> {
  const rows = await db
    .select({ images: releases.images })
    .from(releases)
    .innerJoin(apps, eq(apps.id, releases.appId))
    .innerJoin(projects, eq(projects.id, apps.projectId))
    .where(and(eq(projects.name, project), isNotNull(releases.images)))
    .orderBy(desc(releases.createdAt))
    .limit(atMost);
  const named = rows.flatMap(({ images }) => Object.values(images ?? {}));
  return [...new Set(named.map((it) => it.slice(0, it.indexOf("@"))))].slice(0, atMost);
}
