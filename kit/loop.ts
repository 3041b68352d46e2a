import { setTimeout as sleep } from "node:timers/promises";

export type Loop = {
  /** Asks for a pass soon. Many wakes during one pass mean exactly one more pass. */
  wake(): void;
  /** Resolves when the loop has ended after its signal was aborted. */
  readonly done: Promise<void>;
  /** How long ago the last pass ended without an error; infinite before the first. */
  sinceGoodPassMs(): number;
};

/**
 * Runs `pass` every `everyMs`, and at once when woken; never two at a time. `pass` takes no input
 * on purpose: it must find its work by looking, so that a lost wake costs latency and never
 * correctness. An error goes to `onError` and the loop goes on. The first pass starts on a
 * microtask, so that the caller holds the handle by then.
 */
export function startLoop(options: {
  everyMs: number;
  signal: AbortSignal;
  pass: () => Promise<void>;
  onError: (error: unknown) => void;
}): Loop {
  const { everyMs, signal, pass, onError } = options;
  let woken = false;
  let lastGoodAtMs = Number.NEGATIVE_INFINITY;
  let cutSleep: AbortController | undefined;
  const wake = () => {
    woken = true;
    cutSleep?.abort();
  };
  signal.addEventListener("abort", () => cutSleep?.abort());

  async function rest() {
    if (woken || signal.aborted) return;
    cutSleep = new AbortController();
    await sleep(everyMs, undefined, { signal: cutSleep.signal }).catch(() => undefined);
    cutSleep = undefined;
  }

  async function run() {
    await Promise.resolve();
    while (!signal.aborted) {
      woken = false;
      try {
        await pass();
        lastGoodAtMs = performance.now();
      } catch (error) {
        if (!signal.aborted) onError(error);
      }
      await rest();
    }
  }

  return { wake, done: run(), sinceGoodPassMs: () => performance.now() - lastGoodAtMs };
}
