import { eq, inArray, not, sql } from "drizzle-orm";
import type { AppId, NodeId } from "../../contract/ids.ts";
import { resumeNodeTokens } from "../access/tokens.ts";
import type { Db, Tx } from "../client.ts";
import { controlPlane } from "../schema/control.ts";
import { nodeStatus, nodes, pods } from "../schema/core.ts";

/* How far the absence of reports proves anything: only worker/nodes and worker/schedule call what is here. */

/** Between two looks at the nodes there is never so long, unless the workers or the database were away. */
const AWAY = sql`interval '30 seconds'`;
/** The last look is long ago; or still to come, where a clock was wrong and was set back. */
const wasAway = sql<boolean>`${controlPlane.lastPassAt} not between now() - ${AWAY} and now() + ${AWAY}`;

/** Since when reports come in as ever, ms since the epoch; Infinity while nobody has looked lately. */
export async function calmSince(tx: Tx): Promise<number> {
  const [row] = await tx
    .select({ calmSince: controlPlane.calmSince })
    .from(controlPlane)
    .where(not(wasAway));
  return row?.calmSince.getTime() ?? Number.POSITIVE_INFINITY;
}

/**
 * Says that the nodes were looked at, and that calm begins anew where nobody did for long, or with `troubled`.
 * Such a look is not noted as one: reports may have come to nobody. The first that is noted after long gives
 * nodes' tokens the time back.
 */
export async function recordLook(db: Db, { troubled }: { troubled: boolean }): Promise<void> {
  await db.transaction(async (tx) => {
    const [last] = await tx.select({ wasAway }).from(controlPlane).for("update");
    if (last?.wasAway && !troubled) await resumeNodeTokens(tx);
    await tx
      .insert(controlPlane)
      .values({})
      .onConflictDoUpdate({
        target: controlPlane.id,
        set: {
          calmSince: sql`case when ${troubled} or ${wasAway} then now() else ${controlPlane.calmSince} end`,
          lastPassAt: sql`case when ${troubled} then ${controlPlane.lastPassAt} else now() end`,
        },
      });
  });
}

export type NodeSightRow = {
  readonly id: NodeId;
  readonly name: string;
  readonly seenAtMs: number;
  readonly fenced: boolean;
  readonly draining: boolean;
};

/** Every node as it was last heard of, and the time by the clock that all of it is from. */
export async function nodeSights(
  db: Db,
): Promise<{ readonly nowMs: number; readonly nodes: readonly NodeSightRow[] }> {
  const [clock] = await db.execute<{ ms: number }>(
    sql`select extract(epoch from clock_timestamp())::float8 * 1000 as ms`,
  );
  const rows = await db
    .select({
      id: nodes.id,
      name: nodes.name,
      seenAt: nodeStatus.seenAt,
      fencedAt: nodes.fencedAt,
      draining: nodes.draining,
    })
    .from(nodes)
    .leftJoin(nodeStatus, eq(nodeStatus.nodeId, nodes.id));
  return {
    nowMs: clock?.ms ?? 0,
    nodes: rows.map(({ seenAt, fencedAt, ...row }) => ({
      ...row,
      seenAtMs: seenAt?.getTime() ?? 0,
      fenced: fencedAt !== null,
    })),
  };
}

/** The apps that have pods on these nodes, also pods that are gone and may have kept others from starting. */
export async function appsOn(db: Db, ids: readonly NodeId[]): Promise<readonly AppId[]> {
  if (ids.length === 0) return [];
  const rows = await db
    .selectDistinct({ app: pods.appId })
    .from(pods)
    .where(inArray(pods.nodeId, [...ids]));
  return rows.map((it) => it.app);
}
