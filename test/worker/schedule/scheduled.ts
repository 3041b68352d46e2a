import { eq, getTableColumns } from "drizzle-orm";
import type { AppId, NodeId } from "../../../contract/ids.ts";
import type { PodStatus } from "../../../contract/node/protocol.ts";
import { podSpec } from "../../../db/apps/pod-texts.ts";
import type { Db } from "../../../db/client.ts";
import { storeReport } from "../../../db/nodes/sight.ts";
import { nodePlans, pods, podTexts, releases } from "../../../db/schema/core.ts";
import { scheduleApp } from "../../../worker/schedule/run.ts";
import { aReport } from "../../support/declared.ts";
import { aStatus } from "./world.ts";

/* What the scheduler made of things, as the database has it. */

/** With what each is, as its node is told it. */
export const wantedPods = (db: Db) =>
  db
    .select({ ...getTableColumns(pods), spec: podSpec })
    .from(pods)
    .innerJoin(podTexts, eq(podTexts.id, pods.textId))
    .where(eq(pods.wanted, "run"))
    .orderBy(pods.createdAt);

export const phases = async (db: Db) =>
  (await db.select().from(releases).orderBy(releases.createdAt)).map((it) => it.phase);

export async function generation(db: Db, node: NodeId): Promise<number> {
  const [row] = await db.select().from(nodePlans).where(eq(nodePlans.nodeId, node));
  return row?.generation ?? 0;
}

/** The node reports all wanted pods there, each as `sight` says, and the scheduler looks. */
export async function seen(db: Db, app: AppId, node: NodeId, sight: Partial<PodStatus>) {
  const there = (await wantedPods(db)).filter((it) => it.nodeId === node);
  await storeReport(
    db,
    node,
    aReport(
      there.map((it) => aStatus(it.id, sight)),
      await generation(db, node),
    ),
  );
  return await scheduleApp(db, app);
}
