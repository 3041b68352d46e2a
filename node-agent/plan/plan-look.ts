import { renewAtMs, restartAtMs, retryAtMs } from "./backoff.ts";
import { rolesOf } from "./kinds.ts";
import type { WantedPod, World } from "./plan.ts";
import { deadOnes, newestOf } from "./readiness.ts";

/** A look costs some ms, and what has run for long is not waited for by the millisecond. */
const SHORTEST_MS = 50;
const SHARE = 10;

/**
 * When to look again, in ms since the epoch, for what nobody announces: a container that is to come to
 * its end, or a pause that is over. Undefined when nothing of the kind is known. Pure.
 */
export function nextLookAtMs(world: World): number | undefined {
  const { wanted, seen, setbacks, nowMs } = world;
  const byPod = Map.groupBy(seen, (it) => it.pod);
  const times = [
    ...[...setbacks.values()].map((it) => retryAtMs(it, nowMs)),
    ...wanted.flatMap((it) => looks(it, byPod.get(it.pod.metadata.uid) ?? [], nowMs)),
  ].filter((it) => it > nowMs);
  return times.length > 0 ? Math.min(...times) : undefined;
}

function looks({ pod }: WantedPod, sandboxes: World["seen"], nowMs: number): readonly number[] {
  const kept = sandboxes.find((it) => it.ready);
  if (!kept)
    return deadOnes(sandboxes)
      .slice(0, 1)
      .map((it) => renewAtMs(it, nowMs));
  const ends = pod.spec.restartPolicy !== "Always";
  return rolesOf(pod.spec).flatMap(({ container, kind }) => {
    const last = newestOf(kept, container.name);
    if (last?.state === "exited") return [restartAtMs(last, nowMs)];
    const awaited = kind === "init" || (kind === "main" && ends);
    if (last?.state !== "running" || !awaited) return [];
    // Where the clock was set back, how long it ran is as good as unknown, and it is no reason to hurry.
    const ranMs = Math.abs(nowMs - (last.detail?.startedAtMs ?? nowMs));
    return [nowMs + Math.max(SHORTEST_MS, ranMs / SHARE)];
  });
}
