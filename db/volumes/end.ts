import { and, asc, eq, isNotNull, isNull, type SQL, sql } from "drizzle-orm";
import type { NodeId, ProjectId } from "../../contract/ids.ts";
import type { VolumeKey } from "../../contract/material/material.ts";
import { anyOf } from "../any-of.ts";
import type { Db, Tx } from "../client.ts";
import { projects } from "../schema/core.ts";
import { volumes } from "../schema/material.ts";

/*
 * How a named volume ends, in two steps: removed, so that no app may name it and its bytes stay, which
 * can be taken back; then purging, until the node that holds it says that they are gone.
 */

/** The volumes whose bytes each of these nodes is to delete; to be asked with all else of its wish. */
export function volumesToPurge(db: Db, nodes: SQL) {
  return db
    .select({ node: sql<NodeId>`${volumes.nodeId}`, project: projects.name, name: volumes.name })
    .from(volumes)
    .innerJoin(projects, eq(projects.id, volumes.projectId))
    .where(and(anyOf(volumes.nodeId, nodes), isNotNull(volumes.purgeAskedAt)))
    .orderBy(asc(projects.name), asc(volumes.name));
}

// ---- called by api alone, with the volume held ---------------------------------------------------------

/** Holds a volume, where there is one of this name, against declarations that name it. */
export async function holdVolume(tx: Tx, project: ProjectId, name: string): Promise<void> {
  await tx.select({ name: volumes.name }).from(volumes).where(named(project, name)).for("update");
}

/** The first step: no app may name it any more. */
export async function removeVolume(tx: Tx, project: ProjectId, name: string): Promise<void> {
  await tx
    .update(volumes)
    .set({ removedAt: sql`now()` })
    .where(and(named(project, name), isNull(volumes.removedAt)));
}

/** Takes the first step back. */
export async function restoreVolume(tx: Tx, project: ProjectId, name: string): Promise<void> {
  await tx
    .update(volumes)
    .set({ removedAt: null })
    .where(and(named(project, name), isNull(volumes.purgeAskedAt)));
}

/** The second step, for one that a node holds: its node is to delete the bytes. */
export async function askForPurge(tx: Tx, project: ProjectId, name: string): Promise<void> {
  await tx
    .update(volumes)
    .set({ purgeAskedAt: sql`now()` })
    .where(and(named(project, name), isNotNull(volumes.removedAt), isNull(volumes.purgeAskedAt)));
}

/** The second step, for one that no node ever held. */
export async function forgetVolume(tx: Tx, project: ProjectId, name: string): Promise<void> {
  await tx
    .delete(volumes)
    .where(and(named(project, name), isNotNull(volumes.removedAt), isNull(volumes.nodeId)));
}

// ---- called by api alone, with the node held ----------------------------------------------------------

type Abandoned = { readonly projectId: ProjectId; readonly name: string };

/**
 * A person says that what this node holds is lost: its volumes begin anew, empty, wherever their next
 * pod is placed, and those that it was to delete are gone. Answers which they are.
 */
export async function abandonVolumes(tx: Tx, node: NodeId): Promise<readonly Abandoned[]> {
  const which = { projectId: volumes.projectId, name: volumes.name };
  const purged = await tx
    .delete(volumes)
    .where(and(eq(volumes.nodeId, node), isNotNull(volumes.purgeAskedAt)))
    .returning(which);
  const freed = await tx
    .update(volumes)
    .set({ nodeId: null })
    .where(eq(volumes.nodeId, node))
    .returning(which);
  return [...purged, ...freed];
}

/** The names of the volumes that this node holds, removed ones included. */
export async function volumesHeldBy(tx: Tx, node: NodeId): Promise<readonly string[]> {
  const rows = await tx
    .select({ name: volumes.name })
    .from(volumes)
    .where(eq(volumes.nodeId, node))
    .orderBy(asc(volumes.name))
    .limit(100);
  return rows.map(({ name }) => name);
}

// ---- called by api alone, with an agent's report -------------------------------------------------------

/**
 * Ends the purges that this node says are done, and answers which. One that nobody asked this node
 * for stays as it is, whatever the node says.
 */
export async function endPurges(
  tx: Tx,
  node: NodeId,
  purged: readonly VolumeKey[],
): Promise<readonly (VolumeKey & { readonly projectId: ProjectId })[]> {
  if (purged.length === 0) return [];
  const rows = await tx.execute<{ project_id: ProjectId; project: string; name: string }>(sql`
    delete from volumes using projects
    where projects.id = volumes.project_id and volumes.node_id = ${node}
      and volumes.purge_asked_at is not null
      and (projects.name, volumes.name) in (
        select said.project, said.name
        from jsonb_to_recordset(${JSON.stringify(purged)}::jsonb) as said (project text, name text))
    returning volumes.project_id, projects.name as project, volumes.name`);
  return rows.map(({ project_id: projectId, project, name }) => ({ projectId, project, name }));
}

function named(project: ProjectId, name: string) {
  return and(eq(volumes.projectId, project), eq(volumes.name, name));
}
