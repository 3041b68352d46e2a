/* How the kernel is told who comes first where the cpus are not enough for all: by what was requested. Pure. */

const SHARES = { least: 2, most: 262_144, ofACpu: 1_024 };
const WEIGHTS = { least: 1, most: 10_000 };

/** With cgroup v1, as `cpu.shares` and as CRI tells it. */
export function cpuShares(millis: number): number {
  const shares = Math.floor((millis * SHARES.ofACpu) / 1_000);
  return Math.min(SHARES.most, Math.max(SHARES.least, shares));
}

/** With cgroup v2, as `cpu.weight`: where runc puts the same shares. */
export function cpuWeight(millis: number): number {
  const above = cpuShares(millis) - SHARES.least;
  const span = WEIGHTS.most - WEIGHTS.least;
  return WEIGHTS.least + Math.floor((above * span) / (SHARES.most - SHARES.least));
}
