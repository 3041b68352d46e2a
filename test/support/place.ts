import { randomUUID } from "node:crypto";
import { sql } from "drizzle-orm";
import { PodId } from "../../contract/ids.ts";
import type { JoinAnswer } from "../../contract/node/protocol.ts";
import type { TestApi } from "./api.ts";
import { aPod } from "./pods.ts";

/** A pod of the app's newest release, as the scheduler would place it on this node. */
export async function place(
  api: TestApi,
  app: string,
  { node }: Pick<JoinAnswer, "node">,
): Promise<PodId> {
  const id = PodId.parse(randomUUID());
  const spec = JSON.stringify(aPod({ uid: id }));
  await api.db.execute(sql`
    insert into pods (id, app_id, release_id, node_id, spec)
    select ${id}, apps.id, releases.id, ${node}, ${spec}::jsonb
    from apps join releases on releases.app_id = apps.id
    where apps.name = ${app} order by releases.number desc limit 1`);
  await api.db.execute(sql`
    update node_plans set generation = generation + 1 where node_id = ${node}`);
  return id;
}
