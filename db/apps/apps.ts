import { and, asc, desc, eq, gt, inArray, isNull, sql } from "drizzle-orm";
import { AppSpec } from "../../contract/app/app-spec.ts";
import type { AppId, Digest, ProjectId, ReleaseId } from "../../contract/ids.ts";
import { canonicalJson } from "../../contract/pod/pod.ts";
import type { Tx } from "../client.ts";
import { record } from "../events.ts";
import { announce, nudge } from "../outbox.ts";
import { apps, type Materials, type Phase, releases } from "../schema/core.ts";
import type { Built } from "./builds.ts";

export type AppRow = {
  readonly id: AppId;
  readonly name: string;
  readonly spec: AppSpec;
  readonly generation: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
};

const APP = {
  id: apps.id,
  name: apps.name,
  spec: apps.spec,
  generation: apps.generation,
  createdAt: apps.createdAt,
  updatedAt: apps.updatedAt,
};

/** The project's app of this name; another project's, or a removed one, is not there. */
export async function findApp(
  tx: Tx,
  project: ProjectId,
  name: string,
): Promise<AppRow | undefined> {
  const [row] = await tx.select(APP).from(apps).where(named(project, name));
  return row;
}

/** Up to `limit` apps in the order of their names, the first of them after `after`. */
export async function listApps(
  tx: Tx,
  project: ProjectId,
  page: { after: string; limit: number },
): Promise<readonly AppRow[]> {
  return await tx
    .select(APP)
    .from(apps)
    .where(and(eq(apps.projectId, project), isNull(apps.deletedAt), gt(apps.name, page.after)))
    .orderBy(asc(apps.name))
    .limit(page.limit);
}

// ---- called by api alone ------------------------------------------------------------------------

/**
 * The app, locked until the transaction ends: whoever else declares it waits, and whoever only writes
 * a row that names it does not.
 */
export async function lockApp(
  tx: Tx,
  project: ProjectId,
  name: string,
): Promise<AppRow | undefined> {
  const [row] = await tx.select(APP).from(apps).where(named(project, name)).for("no key update");
  return row;
}

/**
 * Locks those of these apps that there are. Whoever locks apps and volumes in one transaction locks the
 * apps first, as the scheduler does, and each kind in the order of names: so nobody waits in a circle.
 */
export async function lockApps(
  tx: Tx,
  project: ProjectId,
  names: readonly string[],
): Promise<void> {
  await tx
    .select({ id: apps.id })
    .from(apps)
    .where(and(eq(apps.projectId, project), inArray(apps.name, [...names]), isNull(apps.deletedAt)))
    .orderBy(asc(apps.name))
    .for("no key update");
}

export type Declared = {
  readonly app: AppId;
  readonly release: ReleaseId;
  readonly number: number;
  readonly phase: Phase;
  readonly digest: Digest | null;
  /** Where its requests go; null before that is known, and where it takes none. */
  readonly httpPort: number | null;
  /** The spec was what it is already, and nothing was written. */
  readonly unchanged: boolean;
  readonly created: boolean;
  readonly before: AppSpec | null;
};

export type Wish = {
  readonly project: ProjectId;
  readonly spec: AppSpec;
  /** The versions of what the spec names, which the release freezes. */
  readonly materials: Materials;
  readonly by: string;
  /** A restart: a new release in any case, and none of the pods that run is taken over. */
  readonly newPods?: boolean;
  /** What an earlier release was frozen to, and this one is: nothing is built or looked for anew. */
  readonly built?: Built;
  /** What asked for it, where it is not a spec: "a restart", "a rollback to release 3". */
  readonly because?: string;
};

/**
 * Hop 2: the app's spec becomes `spec` and a release of it is wanted, in the caller's transaction.
 * The same spec again, with the same materials, answers the newest release, unless that one failed or
 * was cancelled: then the caller asks for another try.
 */
export async function declareApp(tx: Tx, wish: Wish): Promise<Declared> {
  const { app, created, before } = await lockOrCreate(tx, wish);
  const newest = await newestRelease(tx, app.id);
  if (!created && !wish.newPods && newest && standsFor(newest, app, wish)) {
    const { materials: _, images: __, ...release } = newest;
    return { app: app.id, ...release, unchanged: true, created: false, before };
  }
  const generation = app.generation + 1;
  await tx
    .update(apps)
    .set({ spec: wish.spec, generation, updatedAt: sql`now()` })
    .where(and(eq(apps.id, app.id), eq(apps.generation, app.generation)));
  const number = (newest?.number ?? 0) + 1;
  const release = await insertRelease(tx, app.id, { ...wish, number, generation });
  const { image: digest = null, httpPort = null } = wish.built ?? {};
  const phase = wish.built ? "built" : "pending";
  const made = { release, number, phase, digest, httpPort } as const;
  return { app: app.id, ...made, unchanged: false, created, before };
}

/** Whether the app's newest release is what is asked for already. */
export function standsFor(
  newest: NewestRelease,
  app: AppRow,
  wish: Pick<Wish, "spec" | "materials" | "built">,
): boolean {
  const over = newest.phase === "failed" || newest.phase === "cancelled";
  return (
    !over &&
    canonicalJson(withDefaults(app.spec)) === canonicalJson(wish.spec) &&
    canonicalJson(newest.materials) === canonicalJson(wish.materials) &&
    (!wish.built || isBuiltAs(newest, wish.built))
  );
}

/** As it would be stored today: a field that came since has its default, and asks for nothing new. */
export function withDefaults(stored: AppSpec): AppSpec {
  const read = AppSpec.safeParse(stored);
  return read.success ? read.data : stored;
}

function isBuiltAs({ digest, images }: NewestRelease, built: Built): boolean {
  return digest === built.image && canonicalJson(images) === canonicalJson(built.images);
}

async function insertRelease(
  tx: Tx,
  app: AppId,
  wish: Wish & { readonly number: number; readonly generation: number },
): Promise<ReleaseId> {
  const { number, generation, spec, materials, newPods = false, by, built, because } = wish;
  const [release] = await tx
    .insert(releases)
    .values({
      ...{ appId: app, number, generation, spec, materials, newPods, createdBy: by },
      ...(built && {
        phase: "built",
        imageRepository: built.repository,
        imageDigest: built.image,
        baseDigest: built.base,
        images: built.images,
        httpPort: built.httpPort,
      }),
    })
    .returning({ id: releases.id });
  if (release === undefined) throw new Error("insert into releases returned no row");
  await (built ? nudge(tx, "schedule", app) : nudge(tx, "build", release.id));
  const message = `release ${number} of ${spec.name} is wanted${because ? `: ${because}` : ""}`;
  await record(tx, { app, release: release.id, type: "release-created", message });
  return release.id;
}

/** A wish that the app be gone. Its name is free at once; its pods go when the scheduler gets to it. */
export async function removeApp(tx: Tx, app: AppRow, by: string): Promise<void> {
  await tx
    .update(apps)
    .set({ deletedAt: sql`now()`, updatedAt: sql`now()`, generation: app.generation + 1 })
    .where(eq(apps.id, app.id));
  await nudge(tx, "schedule", app.id);
  await record(tx, {
    app: app.id,
    release: null,
    type: "app-deleted",
    message: `${app.name} was removed by ${by}`,
  });
  await announce(tx, `app:${app.id}`);
}

/** Two first declarations at once: the slower insert finds the name taken, and locks what it finds. */
async function lockOrCreate(
  tx: Tx,
  wish: { project: ProjectId; spec: AppSpec },
): Promise<{ app: AppRow; created: boolean; before: AppSpec | null }> {
  for (let attempt = 0; attempt < 5; attempt++) {
    const found = await lockApp(tx, wish.project, wish.spec.name);
    if (found) return { app: found, created: false, before: found.spec };
    const [made] = await tx
      .insert(apps)
      .values({ projectId: wish.project, name: wish.spec.name, spec: wish.spec, generation: 0 })
      .onConflictDoNothing()
      .returning(APP);
    if (made) return { app: made, created: true, before: null };
  }
  throw new Error(`the app "${wish.spec.name}" was made and removed by others, again and again`);
}

type NewestRelease = NonNullable<Awaited<ReturnType<typeof newestRelease>>>;

/** The app's last release, however it went. */
export async function newestRelease(tx: Tx, app: AppId) {
  const [row] = await tx
    .select({
      release: releases.id,
      number: releases.number,
      phase: releases.phase,
      digest: releases.imageDigest,
      httpPort: releases.httpPort,
      images: releases.images,
      materials: releases.materials,
    })
    .from(releases)
    .where(eq(releases.appId, app))
    .orderBy(desc(releases.number))
    .limit(1);
  return row;
}

function named(project: ProjectId, name: string) {
  return and(eq(apps.projectId, project), eq(apps.name, name), isNull(apps.deletedAt));
}
