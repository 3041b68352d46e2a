import type { Change } from "../../db/outbox.ts";

/**
 * Hears that something changed, from the moment it is made, so that a look taken afterwards and
 * then a wait miss nothing. It may also hear of nothing: whoever wakes must look.
 */
export type Watch = Disposable & {
  /**
   * Resolves when something changed since the last call, after `ms`, or when `signal` aborts: true where
   * somebody said that it did, false where it may have or not.
   */
  changed(ms: number, signal: Aborting): Promise<boolean>;
};

/** What a wait needs of an AbortSignal, which takes half a KiB: thousands wait at once. */
export type Aborting = {
  readonly aborted: boolean;
  addEventListener(type: "abort", listener: () => void): void;
  removeEventListener(type: "abort", listener: () => void): void;
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
  /** By topic; of most there is one, and a list of one is a quarter of a set. */
  const watches = new Map<string, readonly HubWatch[]>();
  /** Of each kind whether there was more since all were woken, which was a moment ago. */
  const swarms = new Map<string, boolean>();
  const announceAll = () => {
    for (const all of watches.values()) for (const watch of all) watch.wake("maybe");
  };
  const wakeKind = (topics: string) => {
    swarms.set(topics, false);
    setTimeout(settle, SWARM_MS, topics);
    const kind = topics.slice(0, -1);
    for (const [topic, all] of watches)
      if (topic.startsWith(kind)) for (const watch of all) watch.wake("news");
  };
  const settle = (topics: string) => {
    if (swarms.get(topics)) wakeKind(topics);
    else swarms.delete(topics);
  };
  stopping.addEventListener("abort", announceAll);
  return {
    announce: (topic) => {
      for (const watch of watches.get(topic) ?? []) watch.wake("news");
      if (!topic.endsWith(":*")) return;
      if (swarms.has(topic)) swarms.set(topic, true);
      else wakeKind(topic);
    },
    announceAll,
    watch: (topic) => {
      const watch = new HubWatch(() => {
        const others = watches.get(topic)?.filter((it) => it !== watch) ?? [];
        if (others.length === 0) watches.delete(topic);
        else watches.set(topic, others);
      });
      watches.set(topic, [...(watches.get(topic) ?? []), watch]);
      return watch;
    },
  };
}

/** "maybe": what was announced may have been lost. */
type Heard = "news" | "maybe";

/** A class, since thousands wait at once: what they have in common stands here once. */
class HubWatch implements Watch {
  readonly #end: () => void;
  #heard: Heard | undefined;
  #wakeSleeper: (() => void) | undefined;

  constructor(end: () => void) {
    this.#end = end;
  }

  wake(heard: Heard): void {
    if (this.#heard !== "news") this.#heard = heard;
    this.#wakeSleeper?.();
  }

  async changed(ms: number, signal: Aborting): Promise<boolean> {
    if (this.#heard === undefined) {
      await sleepUntilWoken(ms, signal, (wake) => {
        this.#wakeSleeper = wake;
      });
    }
    const isNews = this.#heard === "news";
    this.#wakeSleeper = undefined;
    this.#heard = undefined;
    return isNews;
  }

  [Symbol.dispose](): void {
    this.#end();
  }
}

/** For where no connection can be held open: looks again every `everyMs`. */
export function pollingChanges(everyMs: number): Changes {
  return {
    watch: () => ({
      changed: async (ms, signal) => {
        await sleepUntilWoken(Math.min(ms, everyMs), signal, () => undefined);
        return false;
      },
      [Symbol.dispose]: () => undefined,
    }),
  };
}

function sleepUntilWoken(
  ms: number,
  signal: Aborting,
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
