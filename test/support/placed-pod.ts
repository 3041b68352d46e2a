import { randomUUID } from "node:crypto";
import { type NodeId, PodId } from "../../contract/ids.ts";
import type { Db } from "../../db/client.ts";
import { declare } from "./declared.ts";
import { storePod } from "./pod-rows.ts";
import { aPod } from "./pods.ts";

/** A pod of a new release of `shop`, on this node. */
export async function placePod(db: Db, node: NodeId): Promise<PodId> {
  const { app, release } = await declare(db, "shop");
  const id = PodId.parse(randomUUID());
  await storePod(db, { app, release, node, spec: aPod({ uid: id }) });
  return id;
}
