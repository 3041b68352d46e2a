import type { AppId } from "../../contract/ids.ts";
import { Problem } from "../../contract/problem.ts";
import { podsOfApps } from "../../db/nodes/sight.ts";
import type { KnownCall } from "../http/route.ts";

const LOOK_EVERY_MS = 1_000;

/** Resolves when no pod of the app should run and none is seen; a Problem when that takes too long. */
export async function waitUntilGone(
  call: KnownCall,
  app: AppId,
  name: string,
  timeoutSeconds: number,
): Promise<void> {
  const untilMs = Date.now() + timeoutSeconds * 1_000;
  const signal = AbortSignal.any([call.c.req.raw.signal, call.deps.stopping]);
  using watch = call.deps.changes.watch(`app:${app}`);
  for (;;) {
    const pods = (await podsOfApps(call.deps.db, [app])).get(app) ?? [];
    if (pods.length === 0) return;
    const leftMs = untilMs - Date.now();
    if (leftMs <= 0 || signal.aborted) {
      const left = pods.length === 1 ? "one pod is" : `${pods.length} pods are`;
      throw new Problem("wait-timeout", `${name} was removed, and ${left} not gone yet.`);
    }
    await watch.changed(Math.min(leftMs, LOOK_EVERY_MS), signal);
  }
}
