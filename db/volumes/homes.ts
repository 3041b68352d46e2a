import { and, asc, isNull, sql } from "drizzle-orm";
import type { NodeId, ProjectId } from "../../contract/ids.ts";
import { PlanOutdated } from "../apps/placing.ts";
import type { Tx } from "../client.ts";
import { volumes } from "../schema/material.ts";

/* The node that holds a named volume: only worker/schedule binds one. */

/** The volumes of these projects that there are, by name, with the node that holds each: undefined before its first pod. */
export type Homes = ReadonlyMap<ProjectId, ReadonlyMap<string, NodeId | undefined>>;

/** Which node holds each of these volumes; no entry for one that is removed. */
export async function volumeHomes(
  tx: Tx,
  claims: readonly { readonly project: ProjectId; readonly name: string }[],
): Promise<Homes> {
  if (claims.length === 0) return new Map();
  const rows = await tx
    .select({ project: volumes.projectId, name: volumes.name, node: volumes.nodeId })
    .from(volumes)
    .where(those(claims));
  return new Map(
    [...Map.groupBy(rows, (it) => it.project)].map(([project, of]) => [
      project,
      new Map(of.map(({ name, node }) => [name, node ?? undefined])),
    ]),
  );
}

export type Claimed = {
  readonly project: ProjectId;
  readonly name: string;
  readonly node: NodeId;
};

/**
 * These volumes are on these nodes from now on, each named once. Another app's pod may have been the first
 * elsewhere: plan anew.
 */
export async function bindVolumes(tx: Tx, claimed: readonly Claimed[]): Promise<void> {
  if (claimed.length === 0) return;
  // In one order: an update alone takes its rows in any.
  const held = await tx
    .select({ project: volumes.projectId, name: volumes.name, node: volumes.nodeId })
    .from(volumes)
    .where(those(claimed))
    .orderBy(asc(volumes.projectId), asc(volumes.name))
    .for("no key update");
  const homes = new Map(held.map((it) => [keyOf(it), it.node]));
  const lost = claimed.filter((it) => {
    const home = homes.get(keyOf(it));
    return home === undefined || (home !== null && home !== it.node);
  });
  if (lost.length > 0)
    throw new PlanOutdated(`${lost.map((it) => it.name).join(", ")}: not for the planned node`);
  const fresh = claimed.filter((it) => homes.get(keyOf(it)) === null);
  for (const { node, ...claim } of fresh)
    await tx
      .update(volumes)
      .set({ nodeId: node })
      .where(those([claim]));
}

function keyOf({ project, name }: { project: ProjectId; name: string }): string {
  return `${project}/${name}`;
}

function those(claims: readonly { readonly project: ProjectId; readonly name: string }[]) {
  const projects = claims.map((it) => it.project);
  const names = claims.map((it) => it.name);
  return and(
    sql`(${volumes.projectId}, ${volumes.name}) in (
      select * from unnest(${sql.param(projects)}::uuid[], ${sql.param(names)}::text[]))`,
    isNull(volumes.removedAt),
  );
}
