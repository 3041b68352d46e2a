import { and, asc, desc, eq, ne, sql } from "drizzle-orm";
import type { ProjectId } from "../../contract/ids.ts";
import type { Tx } from "../client.ts";
import { sealingKeys, secrets } from "../schema/material.ts";

/** A version's own key, which only the installation's key `kid` opens. */
export type WrappedKey = { readonly kid: string; readonly wrappedKey: Uint8Array };
/** A secret's content as it is kept: nobody here can read it. */
export type SealedContent = WrappedKey & { readonly sealed: Uint8Array };

/** Which version of which secret; what is sealed for one place does not open at another. */
export type SecretPlace = {
  readonly projectId: ProjectId;
  readonly name: string;
  readonly version: number;
};

type SecretRow = SecretPlace & SealedContent & { readonly mark: string };

export async function newestSecret(
  tx: Tx,
  project: ProjectId,
  name: string,
): Promise<SecretRow | undefined> {
  const [row] = await tx
    .select({
      projectId: secrets.projectId,
      name: secrets.name,
      version: secrets.version,
      mark: secrets.mark,
      kid: secrets.kid,
      wrappedKey: secrets.wrappedKey,
      sealed: secrets.sealed,
    })
    .from(secrets)
    .where(named(project, name))
    .orderBy(desc(secrets.version))
    .limit(1);
  return row;
}

/** Of each one the newest version, by name, and nothing of its content. */
export async function listSecrets(tx: Tx, project: ProjectId) {
  return await tx
    .selectDistinctOn([secrets.name], {
      name: secrets.name,
      version: secrets.version,
      keys: secrets.keys,
      mark: secrets.mark,
      createdAt: secrets.createdAt,
    })
    .from(secrets)
    .where(eq(secrets.projectId, project))
    .orderBy(secrets.name, desc(secrets.version))
    .limit(10_000);
}

export type KnownKeys = {
  /** For each key that the installation ever had: what only that key opens. */
  readonly checks: ReadonlyMap<string, Uint8Array>;
  /** The keys that some secret needs. */
  readonly used: ReadonlySet<string>;
};

export async function knownKeys(tx: Tx): Promise<KnownKeys> {
  const checks = await tx
    .select({ kid: sealingKeys.kid, check: sealingKeys.check })
    .from(sealingKeys);
  const used = await tx.selectDistinctOn([secrets.kid], { kid: secrets.kid }).from(secrets);
  return {
    checks: new Map(checks.map(({ kid, check }) => [kid, check])),
    used: new Set(used.map(({ kid }) => kid)),
  };
}

// ---- called by api alone: secrets with the name locked ------------------------------------------------

export async function insertSecret(
  tx: Tx,
  version: SecretRow & { readonly keys: readonly string[]; readonly createdBy: string },
): Promise<void> {
  await tx.insert(secrets).values({ ...version, keys: [...version.keys] });
}

/** Every version goes. */
export async function removeSecret(tx: Tx, project: ProjectId, name: string): Promise<void> {
  await tx.delete(secrets).where(named(project, name));
}

// ---- called by api alone: keys, with nothing locked ----------------------------------------------------

/** Up to `limit` versions that another key than `kid` wraps, in the order of their places, after `after`. */
export async function wrappedByOthers(
  tx: Tx,
  kid: string,
  page: { readonly after: SecretPlace | undefined; readonly limit: number },
): Promise<readonly (SecretPlace & WrappedKey)[]> {
  const { after } = page;
  const place = sql`(${secrets.projectId}, ${secrets.name}, ${secrets.version})`;
  const rest = after && sql`${place} > (${after.projectId}, ${after.name}, ${after.version}::int)`;
  return await tx
    .select({
      projectId: secrets.projectId,
      name: secrets.name,
      version: secrets.version,
      kid: secrets.kid,
      wrappedKey: secrets.wrappedKey,
    })
    .from(secrets)
    .where(and(ne(secrets.kid, kid), rest))
    .orderBy(asc(secrets.projectId), asc(secrets.name), asc(secrets.version))
    .limit(page.limit);
}

/** Puts another wrapping in the place of `before`, unless that is no longer there. */
export async function replaceWrapping(
  tx: Tx,
  { projectId, name, version }: SecretPlace,
  before: WrappedKey,
  { kid, wrappedKey }: WrappedKey,
): Promise<void> {
  const same = and(eq(secrets.version, version), eq(secrets.wrappedKey, before.wrappedKey));
  await tx
    .update(secrets)
    .set({ kid, wrappedKey })
    .where(and(named(projectId, name), same));
}

/** Writes down what only this key opens; the check of a kid that is there already stays as it is. */
export async function rememberKeys(
  tx: Tx,
  keys: readonly { readonly kid: string; readonly check: Uint8Array }[],
): Promise<void> {
  if (keys.length > 0)
    await tx
      .insert(sealingKeys)
      .values([...keys])
      .onConflictDoNothing();
}

function named(project: ProjectId, name: string) {
  return and(eq(secrets.projectId, project), eq(secrets.name, name));
}
