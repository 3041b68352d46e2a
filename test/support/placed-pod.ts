import { randomUUID } from "node:crypto";
import { type NodeId, PodId } from "../../contract/ids.ts";
import type { Db } from "../../db/client.ts";
import { pods } from "../../db/schema/core.ts";
import { declare } from "./declared.ts";
import { aPod } from "./pods.ts";

/** A pod of a new release of `shop`, on this node. */
export async function placePod(db: Db, nodeId: NodeId): Promise<PodId> {
  const { app, release } = await declare(db, "shop");
  const id = PodId.parse(randomUUID());
  await db
    .insert(pods)
    .values({ id, appId: app, releaseId: release, nodeId, spec: aPod({ uid: id }) });
  return id;
}
