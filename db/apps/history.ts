import { and, asc, desc, eq, gt, inArray, lt, sql } from "drizzle-orm";
import type { AppSpec } from "../../contract/app/app-spec.ts";
import type { AppId, Digest, ReleaseId } from "../../contract/ids.ts";
import type { Tx } from "../client.ts";
import {
  apps,
  type Failure,
  type Materials,
  type Phase,
  type ResolvedImages,
  releases,
} from "../schema/core.ts";
import { events } from "../schema/history.ts";
import type { Built } from "./builds.ts";

/* What was and what happened: reads only. */

export type ReleaseRow = {
  readonly id: ReleaseId;
  readonly number: number;
  readonly generation: number;
  readonly phase: Phase;
  readonly phaseAt: Date;
  readonly createdAt: Date;
  readonly createdBy: string;
  readonly digest: Digest | null;
  readonly failure: Failure | null;
  readonly supersededBy: number | null;
  readonly cancelledBy: string | null;
  readonly spec: AppSpec;
  readonly materials: Materials;
  readonly images: ResolvedImages | null;
  /** Where its requests go; null before that is known, and where it takes none. */
  readonly httpPort: number | null;
  readonly newPods: boolean;
};

const RELEASE = {
  id: releases.id,
  number: releases.number,
  generation: releases.generation,
  phase: releases.phase,
  phaseAt: releases.phaseAt,
  createdAt: releases.createdAt,
  createdBy: releases.createdBy,
  digest: releases.imageDigest,
  failure: releases.failure,
  supersededBy: releases.supersededBy,
  cancelledBy: releases.cancelledBy,
  spec: releases.spec,
  materials: releases.materials,
  images: releases.images,
  httpPort: releases.httpPort,
  newPods: releases.newPods,
};

/** Newest first, those with a number below `before`. */
export async function listReleases(
  tx: Tx,
  app: AppId,
  page: { before: number; limit: number },
): Promise<readonly ReleaseRow[]> {
  return await tx
    .select(RELEASE)
    .from(releases)
    .where(and(eq(releases.appId, app), lt(releases.number, page.before)))
    .orderBy(desc(releases.number))
    .limit(page.limit);
}

export async function findRelease(
  tx: Tx,
  app: AppId,
  number: number,
): Promise<ReleaseRow | undefined> {
  const [row] = await tx
    .select(RELEASE)
    .from(releases)
    .where(and(eq(releases.appId, app), eq(releases.number, number)));
  return row;
}

/** What the release was frozen to; undefined before it is built. */
export async function builtAs(tx: Tx, release: ReleaseId): Promise<Built | undefined> {
  const [row] = await tx
    .select({
      repository: releases.imageRepository,
      image: releases.imageDigest,
      base: releases.baseDigest,
      images: releases.images,
      httpPort: releases.httpPort,
    })
    .from(releases)
    .where(eq(releases.id, release));
  if (!row?.repository || !row.image) return undefined;
  return { ...row, repository: row.repository, image: row.image };
}

/** The release's state as those see it who wait for it, and whether its app is still wished for. */
export async function watchRelease(
  tx: Tx,
  release: ReleaseId,
): Promise<(ReleaseRow & { readonly appGone: boolean }) | undefined> {
  const [row] = await tx
    .select({ ...RELEASE, appGone: sql<boolean>`${apps.deletedAt} is not null` })
    .from(releases)
    .innerJoin(apps, eq(apps.id, releases.appId))
    .where(eq(releases.id, release));
  return row;
}

type WantedAndLive = {
  readonly wanted: number | null;
  readonly live: number | null;
  /** Of the one that serves, else of the wanted one. */
  readonly httpPort: number | null;
};

/** Of each app the number that serves, and the number that should: the newest that has not ended. Null where there is none. */
export async function wantedAndLive(
  tx: Tx,
  ids: readonly AppId[],
): Promise<ReadonlyMap<AppId, WantedAndLive>> {
  const rows = await tx
    .select({
      app: releases.appId,
      wanted: sql<number | null>`max(${releases.number})`,
      live: sql<number | null>`max(${releases.number}) filter (where ${releases.phase} = 'live')`,
      httpPort: sql<
        number | null
      >`(array_agg(${releases.httpPort} order by ${releases.phase} = 'live' desc, ${releases.number} desc))[1]`,
    })
    .from(releases)
    .where(
      and(
        inArray(releases.appId, [...ids]),
        inArray(releases.phase, ["pending", "building", "built", "rolling", "live"]),
      ),
    )
    .groupBy(releases.appId);
  return new Map(rows.map(({ app, ...numbers }) => [app, numbers]));
}

/** What the scheduler last said about the release's places; undefined before it did. */
export async function lastOfPlaces(
  tx: Tx,
  release: ReleaseId,
): Promise<{ readonly type: string; readonly message: string } | undefined> {
  const [row] = await tx
    .select({ type: events.type, message: events.message })
    .from(events)
    .where(and(eq(events.releaseId, release), inArray(events.type, ["pod-waiting", "pod-placed"])))
    .orderBy(desc(events.id))
    .limit(1);
  return row;
}

export type EventRow = {
  readonly id: number;
  readonly at: Date;
  readonly type: string;
  readonly message: string;
  /** The release's number; null for what concerns the app alone. */
  readonly release: number | null;
};

/** Oldest first, those after the event `after`; of one release where `release` names it. */
export async function listEvents(
  tx: Tx,
  app: AppId,
  page: { after: number; limit: number; release?: number | undefined },
): Promise<readonly EventRow[]> {
  return await tx
    .select({
      id: events.id,
      at: events.at,
      type: events.type,
      message: events.message,
      release: releases.number,
    })
    .from(events)
    .leftJoin(releases, eq(releases.id, events.releaseId))
    .where(
      and(
        eq(events.appId, app),
        gt(events.id, page.after),
        page.release === undefined ? undefined : eq(releases.number, page.release),
      ),
    )
    .orderBy(asc(events.id))
    .limit(page.limit);
}
