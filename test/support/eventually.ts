import { setTimeout as sleep } from "node:timers/promises";

/** Tries `check` until it passes, or throws what it threw last when the time is up. */
export async function eventually<T>(
  check: () => T | Promise<T>,
  { withinMs = 10_000, everyMs = 50 }: { withinMs?: number; everyMs?: number } = {},
): Promise<T> {
  const endMs = Date.now() + withinMs;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() >= endMs) throw error;
      await sleep(everyMs);
    }
  }
}
