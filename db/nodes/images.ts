import { sql } from "drizzle-orm";
import type { NodeId } from "../../contract/ids.ts";
import type { Tx } from "../client.ts";
import { pods } from "../schema/core.ts";

/** Every image, `registry/repository@digest`, that this node's pods name: of containers, init containers and volumes. */
export async function imagesOfNode(tx: Tx, node: NodeId): Promise<ReadonlySet<string>> {
  const rows = await tx.execute<{ image: string }>(sql`
    select distinct named.image #>> '{}' as image
    from ${pods}, lateral (
      select jsonb_path_query(${pods.spec}, '$.spec.containers[*].image') as image
      union all
      select jsonb_path_query(${pods.spec}, '$.spec.initContainers[*].image')
      union all
      select jsonb_path_query(${pods.spec}, '$.spec.volumes[*].image.reference')
    ) as named
    where ${pods.nodeId} = ${node} and ${pods.wanted} = 'run'`);
  return new Set(rows.map((row) => row.image));
}
