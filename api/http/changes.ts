import type { Change } from "../../db/outbox.ts";

/**
 * Hears that something changed, from the moment it is made, so that a look taken afterwards and
 * then a wait miss nothing. It may also hear of nothing: whoever wakes must look.
 */
export type Watch = Disposable & {
  /** Resolves when something changed since the last call, after `ms`, or when `signal` aborts. */
  changed(ms: number, signal: AbortSignal): Promise<void>;
};

export type Changes = { watch(topic: Change): Watch };

export type ChangesHub = Changes & {
  announce(topic: string): void;
  /** Wakes everybody: for when announcements may have been lost. */
  announceAll(): void;
};

/** What is news to all of a kind comes in swarms, as pods are placed: those who wait look once for many. */
const SWARM_MS = 200;

/** One listener's news, handed to all who wait in this process, and the news that it is `stopping`. */
export function changesHub(stopping: AbortSignal): ChangesHub {
  const watches = new Map<string, Set<() => void>>();
  /** Of each kind whether there was more since all were woken, which was a moment ago. */
  const swarms = new Map<string, boolean>();
  const announceAll = () => {
    for (const set of watches.values()) for (const wake of set) wake();
  };
  const wakeKind = (topics: string) => {
    swarms.set(topics, false);
    setTimeout(settle, SWARM_MS, topics);
    const kind = topics.slice(0, -1);
    for (const [topic, set] of watches) if (topic.startsWith(kind)) for (const wake of set) wake();
  };
  const settle = (topics: string) => {
    if (swarms.get(topics)) wakeKind(topics);
    else swarms.delete(topics);
  };
  stopping.addEventListener("abort", announceAll);
  return {
    announce: (topic) => {
      for (const wake of watches.get(topic) ?? []) wake();
      if (!topic.endsWith(":*")) return;
      if (swarms.has(topic)) swarms.set(topic, true);
      else wakeKind(topic);
    },
    announceAll,
    watch: (topic) => {
      let news = false;
      let wakeSleeper: (() => void) | undefined;
      const wake = () => {
        news = true;
        wakeSleeper?.();
      };
      const set = watches.get(topic) ?? new Set();
      watches.set(topic, set.add(wake));
      return {
        changed: async (ms, signal) => {
          if (!news) {
            await sleepUntilWoken(ms, signal, (resolve) => {
              wakeSleeper = resolve;
            });
          }
          wakeSleeper = undefined;
          news = false;
        },
        [Symbol.dispose]: () => {
          set.delete(wake);
          if (set.size === 0) watches.delete(topic);
        },
      };
    },
  };
}

/** For where no connection can be held open: looks again every `everyMs`. */
export function pollingChanges(everyMs: number): Changes {
  return {
    watch: () => ({
      changed: (ms, signal) => sleepUntilWoken(Math.min(ms, everyMs), signal, () => undefined),
      [Symbol.dispose]: () => undefined,
    }),
  };
}

function sleepUntilWoken(
  ms: number,
  signal: AbortSignal,
  onWaker: (wake: () => void) => void,
): Promise<void> {
  if (signal.aborted || ms <= 0) return Promise.resolve();
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
    onWaker(end);
  });
}
