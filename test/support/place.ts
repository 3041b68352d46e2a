import { randomUUID } from "node:crypto";
import { sql } from "drizzle-orm";
import { type AppId, NodeId, PodId, type ReleaseId } from "../../contract/ids.ts";
import type { JoinAnswer } from "../../contract/node/protocol.ts";
import type { TestApi } from "./api.ts";
import { storePod } from "./pod-rows.ts";
import { aPod } from "./pods.ts";

/** A pod of the app's newest release, as the scheduler would place it on this node. */
export async function place(
  api: TestApi,
  app: string,
  { node }: Pick<JoinAnswer, "node">,
): Promise<PodId> {
  const id = PodId.parse(randomUUID());
  const [newest] = await api.db.execute<{ app: AppId; release: ReleaseId }>(sql`
    select apps.id as app, releases.id as release
    from apps join releases on releases.app_id = apps.id
    where apps.name = ${app} order by releases.number desc limit 1`);
  if (!newest) throw new Error(`${app} has no release`);
  await storePod(api.db, { ...newest, node: NodeId.parse(node), spec: aPod({ uid: id }) });
  await api.db.execute(sql`
    update node_plans set generation = generation + 1 where node_id = ${node}`);
  return id;
}
