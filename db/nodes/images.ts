import { sql } from "drizzle-orm";
import type { NodeId } from "../../contract/ids.ts";
import type { Tx } from "../client.ts";
import { pods, podTexts } from "../schema/core.ts";

/** Every image, `registry/repository@digest`, that this node's pods name: of containers, init containers and volumes. */
export async function imagesOfNode(tx: Tx, node: NodeId): Promise<ReadonlySet<string>> {
  const rows = await tx.execute<{ image: string }>(sql`
    select distinct named.image #>> '{}' as image
    from ${podTexts}, lateral (
      select jsonb_path_query(${podTexts.spec}, '$.spec.containers[*].image') as image
      union all
      select jsonb_path_query(${podTexts.spec}, '$.spec.initContainers[*].image')
      union all
      select jsonb_path_query(${podTexts.spec}, '$.spec.volumes[*].image.reference')
    ) as named
    where ${podTexts.id} in (
      select ${pods.textId} from ${pods} where ${pods.nodeId} = ${node} and ${pods.wanted} = 'run')`);
  return new Set(rows.map((row) => row.image));
}
