import { setTimeout as sleep } from "node:timers/promises";

/** Bounds how much of one kind of work runs at once. */
export type Slots = {
  /** Runs it as soon as there is a slot, in the order of asking. */
  take<T>(work: () => Promise<T>): Promise<T>;
};

/** Work that takes longer than `heldMs` gives its slot up and goes on, so that what hangs holds nothing up. */
export function openSlots(count: number, heldMs: number): Slots {
  let free = count;
  const waiting: (() => void)[] = [];

  function leave(): void {
    const next = waiting.shift();
    if (next) next();
    else free += 1;
  }

  async function enter(): Promise<void> {
    if (free > 0) {
      free -= 1;
      return;
    }
    const turn = Promise.withResolvers<void>();
    waiting.push(turn.resolve);
    await turn.promise;
  }

  return {
    async take(work) {
      await enter();
      const running = work();
      const over = new AbortController();
      const ended = running.catch(() => undefined).finally(() => over.abort());
      const late = sleep(heldMs, undefined, { signal: over.signal }).catch(() => undefined);
      void Promise.race([ended, late]).then(leave);
      return running;
    },
  };
}
