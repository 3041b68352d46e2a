/** Waiting time before attempt `attempt` (0 is the first retry): doubles from `minMs` up to `maxMs`. Pure. */
export function backoffMs(attempt: number, limits: { minMs: number; maxMs: number }): number {
  return Math.min(limits.maxMs, limits.minMs * 2 ** Math.min(attempt, 30));
}
