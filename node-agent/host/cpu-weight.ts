/* How the kernel is told who comes first where the cpus are not enough for all: by what was requested. Pure. */

const SHARES = { least: 2, most: 262_144, ofACpu: 1_024 };
const WEIGHTS = { least: 1, most: 10_000, ofACpu: 100 };

/** With cgroup v1, as `cpu.shares` and as CRI tells it. A group that was told nothing counts as one cpu. */
export function cpuShares(millis: number): number {
  return within(SHARES, Math.floor((millis * SHARES.ofACpu) / 1_000));
}

/**
 * With cgroup v2, as `cpu.weight`. A group that was told nothing, such as `system.slice`, counts as one
 * cpu here too. runc makes 39 of a cpu's shares: for containers, which compete within their pod alone.
 */
export function cpuWeight(millis: number): number {
  return within(WEIGHTS, Math.floor((millis * WEIGHTS.ofACpu) / 1_000));
}

function within({ least, most }: { readonly least: number; readonly most: number }, value: number) {
  return Math.min(most, Math.max(least, value));
}
