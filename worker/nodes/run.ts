import type { AppId } from "../../contract/ids.ts";
import type { Db } from "../../db/client.ts";
import { endAdoptions } from "../../db/nodes/adopt.ts";
import { appsOn, calmSince, nodeSights, recordLook } from "../../db/nodes/control-plane.ts";
import type { Log } from "../../kit/log.ts";
import { planNodes } from "./plan.ts";

/** What changes with time alone, such as the end of a deadline, is found by looking this often. */
const AGAIN_MS = 30_000;

/**
 * Looks at the nodes as a whole: whether their silence means anything, and whose apps should look after
 * their pods. Which pods go and come is the plan of each app; this only rings for those concerned, at once
 * when a node's lot changed and now and then while it stays.
 */
export function nodesPass(deps: {
  readonly db: Db;
  readonly log: Log;
  readonly replaceAfterMs: number;
  readonly ring: (app: AppId) => Promise<void>;
}): () => Promise<void> {
  const { db, log, replaceAfterMs, ring } = deps;
  let told = JSON.stringify([[], [], []]);
  let rangAtMs = 0;
  return async () => {
    const adopted = await endAdoptions(db);
    if (adopted > 0) log.info("adopted nodes keep no unknown pods any more", { nodes: adopted });
    const { nowMs, nodes } = await nodeSights(db);
    const calmSinceMs = await calmSince(db);
    const plan = planNodes({ nowMs, calmSinceMs, replaceAfterMs, nodes });
    await recordLook(db, plan);
    const lost = nodes.filter((it) => plan.lost.includes(it.id));
    const others = nodes.filter((it) => it.fenced || it.draining);
    const lot = JSON.stringify([names(lost), names(others), plan.held]);
    if (lot === told && nowMs - rangAtMs < AGAIN_MS) return;
    if (lot !== told) log.warn("what becomes of nodes", { lost: names(lost), held: plan.held });
    const concerned = [...new Set([...lost, ...others].map((it) => it.id))];
    for (const app of await appsOn(db, concerned)) await ring(app);
    told = lot;
    rangAtMs = nowMs;
  };
}

function names(nodes: readonly { readonly name: string }[]): readonly string[] {
  return nodes.map((it) => it.name).toSorted();
}
