import { setTimeout as sleep } from "node:timers/promises";

/** Waits so long, or until the signal is aborted: whoever goes on afterwards looks at that first. */
export async function rest(ms: number, signal: AbortSignal): Promise<void> {
  if (ms > 0) await sleep(ms, undefined, { signal }).catch(() => undefined);
}
