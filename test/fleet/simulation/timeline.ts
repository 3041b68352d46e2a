/** Everything happens at whole steps of it. */
export const STEP_MS = 1_000;

/** Virtual time: what was planned for a moment happens when that is stepped to, in the order of planning. */
export type Timeline = {
  nowMs(): number;
  /** In `ms` from now, and never in the step that goes on. */
  after(ms: number, act: () => void): void;
  step(): void;
};

export function openTimeline(startMs: number): Timeline {
  const planned = new Map<number, (() => void)[]>();
  let nowMs = startMs;
  return {
    nowMs: () => nowMs,
    after(ms, act) {
      const atMs = nowMs + Math.max(1, Math.ceil(ms / STEP_MS)) * STEP_MS;
      const others = planned.get(atMs);
      if (others) others.push(act);
      else planned.set(atMs, [act]);
    },
    step() {
      nowMs += STEP_MS;
      for (const act of planned.get(nowMs) ?? []) act();
      planned.delete(nowMs);
    },
  };
}
