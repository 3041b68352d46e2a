/**
 * How much a container may say: a bucket that fills by the second, as the container's own words tell
 * the time. Whoever finds it empty is told so until the next second. Pure.
 */
export type Flood = {
  /** Takes note of the time of what comes next; answers how many lines were left out until now, once. */
  at(time: string): number;
  /** Whether a line of so many bytes is taken. */
  admits(bytes: number): boolean;
  leftOut(lines: number): void;
  /** Whether nothing is taken before the next second. */
  isEmpty(): boolean;
};

export function openFlood(rate: {
  readonly bytesPerSecond: number;
  readonly burstBytes: number;
}): Flood {
  let tokens = rate.burstBytes;
  let second = "";
  let lines = 0;
  return {
    at: (time) => {
      if (time.startsWith(second) && second !== "") return 0;
      const now = time.slice(0, 19);
      // A clock that is put back still goes on.
      const passed = Math.max(1, (Date.parse(`${now}Z`) - Date.parse(`${second}Z`)) / 1_000);
      if (second !== "") {
        tokens = Math.min(rate.burstBytes, tokens + passed * rate.bytesPerSecond);
      }
      second = now;
      const leftOut = lines;
      lines = 0;
      return leftOut;
    },
    admits: (bytes) => {
      if (tokens <= 0) return false;
      tokens -= bytes;
      return true;
    },
    leftOut: (count) => {
      lines += count;
    },
    isEmpty: () => tokens <= 0,
  };
}
