import { and, asc, eq, inArray, isNull, or } from "drizzle-orm";
import type { NodeId, ProjectId } from "../../contract/ids.ts";
import { PlanOutdated } from "../apps/placements.ts";
import type { Tx } from "../client.ts";
import { volumes } from "../schema/material.ts";

/* The node that holds a named volume: only worker/schedule binds one. */

/** Which node holds each of these volumes; undefined before its first pod, and no entry for one that is removed. */
export async function volumeHomes(
  tx: Tx,
  project: ProjectId,
  names: readonly string[],
): Promise<ReadonlyMap<string, NodeId | undefined>> {
  if (names.length === 0) return new Map();
  const rows = await tx
    .select({ name: volumes.name, node: volumes.nodeId })
    .from(volumes)
    .where(those(project, names));
  return new Map(rows.map(({ name, node }) => [name, node ?? undefined]));
}

/** The volumes are on this node from now on. Another app's pod may have been the first elsewhere: plan anew. */
export async function bindVolumes(
  tx: Tx,
  project: ProjectId,
  names: readonly string[],
  node: NodeId,
): Promise<void> {
  if (names.length === 0) return;
  const distinct = [...new Set(names)];
  const free = or(isNull(volumes.nodeId), eq(volumes.nodeId, node));
  // In the order of names: an update alone takes its rows in any.
  const held = await tx
    .select({ name: volumes.name })
    .from(volumes)
    .where(and(those(project, distinct), free))
    .orderBy(asc(volumes.name))
    .for("no key update");
  const bound = held.map(({ name }) => name);
  if (bound.length === distinct.length)
    await tx.update(volumes).set({ nodeId: node }).where(those(project, bound));
  else throw new PlanOutdated(`a volume of ${distinct.join(", ")} is not for node ${node}`);
}

function those(project: ProjectId, names: readonly string[]) {
  return and(
    eq(volumes.projectId, project),
    inArray(volumes.name, [...names]),
    isNull(volumes.removedAt),
  );
}
