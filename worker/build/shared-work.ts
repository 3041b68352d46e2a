export type Progress = (message: string) => Promise<void>;

/** Work that many may want at once and that is done once: `tell` reaches all who wait. */
export type Work<T> = (tell: (message: string) => void, signal: AbortSignal) => Promise<T>;

/**
 * Callers that come while the work runs join it. One that is aborted, or whose progress fails, leaves
 * with its own error; the work is aborted when nobody is left. A later call starts it anew.
 */
export function shareWork<T>(
  work: Work<T>,
): (progress: Progress, signal: AbortSignal) => Promise<T> {
  let running: Running<T> | undefined;

  function start(): Running<T> {
    const stop = new AbortController();
    const listeners = new Set<(message: string) => void>();
    const tell = (message: string) => {
      for (const listener of listeners) listener(message);
    };
    const begun = { stop, listeners, result: work(tell, stop.signal) };
    const forget = () => {
      if (running === begun) running = undefined;
    };
    begun.result.then(forget, forget);
    return begun;
  }

  return async (progress, signal) => {
    signal.throwIfAborted();
    running ??= start();
    const joined = running;
    const left = Promise.withResolvers<never>();
    const listener = (message: string) => void progress(message).catch(left.reject);
    const onAbort = () => left.reject(signal.reason);
    signal.addEventListener("abort", onAbort);
    joined.listeners.add(listener);
    try {
      return await Promise.race([joined.result, left.promise]);
    } finally {
      signal.removeEventListener("abort", onAbort);
      joined.listeners.delete(listener);
      if (joined.listeners.size === 0) {
        if (running === joined) running = undefined;
        joined.stop.abort();
      }
    }
  };
}

type Running<T> = {
  readonly stop: AbortController;
  readonly listeners: Set<(message: string) => void>;
  readonly result: Promise<T>;
};
