import { sql } from "drizzle-orm";
import { PROTOCOL } from "../contract/node/skew.ts";
import type { Tx } from "./client.ts";
import { workers } from "./schema/control.ts";
import { apps, nodeStatus, nodes, pods, releases } from "./schema/core.ts";
import { outbox } from "./schema/outbox.ts";

export type There = {
  /** That spoke in the last 15 s. */
  readonly workers: number;
  /** That take pods, and spoke in the last 30 s. */
  readonly nodes: number;
  readonly fencedNodes: number;
  /** That spoke in the last 30 s, but not what this side speaks. */
  readonly strangeNodes: number;
  /** That spoke in the last 30 s, and hold what this database never made. */
  readonly aheadNodes: number;
};

/** Its agent speaks what this side does. */
const understood = sql`${nodeStatus.protocol} = ${PROTOCOL}`;

export async function whoIsThere(tx: Tx): Promise<There> {
  const [row] = await tx.execute<There>(sql`
    select
      (select count(*)::int from ${workers} where ${workers.seenAt} > now() - interval '15 seconds') as workers,
      (select count(*)::int from ${nodes} where ${nodes.fencedAt} is not null) as "fencedNodes",
      heard.*
    from (
      select count(*) filter (where ${understood} and ${nodeStatus.ahead} is null)::int as nodes,
             count(*) filter (where ${understood} and ${nodeStatus.ahead} is not null)::int as "aheadNodes",
             count(*) filter (where not ${understood})::int as "strangeNodes"
      from ${nodes} join ${nodeStatus} on ${nodeStatus.nodeId} = ${nodes.id}
      where not ${nodes.cordoned} and ${nodes.fencedAt} is null
        and ${nodeStatus.seenAt} > now() - interval '30 seconds') as heard`);
  if (row === undefined) throw new Error("counting returned no row");
  return row;
}

export type Counts = {
  readonly apps: number;
  readonly podsWanted: number;
  readonly nudgesWaiting: number;
  readonly oldestNudgeSeconds: number;
  readonly releases: Readonly<Record<string, number>>;
};

/** The numbers that an operator's graphs start from, of the whole installation. */
export async function countThings(tx: Tx): Promise<Counts> {
  const [row] = await tx.execute<Counts>(sql`
    select
      (select count(*)::int from ${apps} where ${apps.deletedAt} is null) as apps,
      (select count(*)::int from ${pods} where ${pods.wanted} = 'run') as "podsWanted",
      (select count(*)::int from ${outbox}) as "nudgesWaiting",
      (select coalesce(extract(epoch from now() - min(${outbox.createdAt})), 0)::float8 from ${outbox}) as "oldestNudgeSeconds",
      (select coalesce(jsonb_object_agg(phase, count), '{}') from
        (select ${releases.phase} as phase, count(*)::int from ${releases} group by 1) as by_phase) as releases`);
  if (row === undefined) throw new Error("counting returned no row");
  return row;
}
