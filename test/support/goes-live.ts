import { sql } from "drizzle-orm";
import { AppId, type NodeId, ReleaseId } from "../../contract/ids.ts";
import { claimBuild, finishBuild } from "../../db/apps/builds.ts";
import { storeReport } from "../../db/nodes/sight.ts";
import { scheduleApp } from "../../worker/schedule/run.ts";
import { generation, wantedPods } from "../worker/schedule/scheduled.ts";
import { aStatus } from "../worker/schedule/world.ts";
import type { TestApi } from "./api.ts";
import { aDigest, aReport } from "./declared.ts";

/** The image of `aPodDocument`. */
const IMAGE = `base/tool@${aDigest("c")}`;

/** The newest release is built, with this image behind its name, if it is not yet, and goes live on the node. */
export async function goesLive(
  api: TestApi,
  node: NodeId,
  image = "c",
  capacity = aReport([]).capacity,
): Promise<void> {
  const [row] = await api.db.execute<{ id: string; app: string }>(
    sql`select id, app_id as app from releases order by created_at desc limit 1`,
  );
  const app = AppId.parse(row?.app);
  const outcome = await claimBuild(api.db, ReleaseId.parse(row?.id));
  if (outcome.kind === "claimed") {
    const digest = aDigest(image);
    const images = { [IMAGE]: `apps/default/shop@${digest}` };
    const of = { repository: "apps/default/shop", image: digest, base: null, httpPort: 80 };
    await finishBuild(api.db, outcome.claim, { ...of, images }, "built");
  }
  await scheduleApp(api.db, app);
  // One pod at a time takes the place of an old one.
  for (let turn = 0; turn < 5; turn++) {
    const there = (await wantedPods(api.db)).filter((it) => it.nodeId === node);
    const ready = there.map((it) => aStatus(it.id, { ready: true }));
    const report = aReport(ready, await generation(api.db, node));
    await storeReport(api.db, node, { ...report, capacity });
    await scheduleApp(api.db, app);
  }
}
