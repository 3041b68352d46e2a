/** What two ways of doing the same took, measured in turn: A B A B, in ms. */
export type Pairs = {
  readonly question: string;
  readonly ours: readonly number[];
  readonly baseline: readonly number[];
  readonly medianRatio: number;
  readonly lowestRatio: number;
};

/**
 * Runs `ours` and `baseline` in turn, `count` counted times after one warm-up of each. Only the
 * ratios of pairs count: a small machine's speed drifts, and both of a pair drift together.
 */
export async function measurePairs(
  question: string,
  count: number,
  ways: { ours: (round: number) => Promise<number>; baseline: (round: number) => Promise<number> },
): Promise<Pairs> {
  const [ours, baseline]: [number[], number[]] = [[], []];
  for (let round = 0; round <= count; round++) {
    const [a, b] = [await ways.ours(round), await ways.baseline(round)];
    process.stderr.write(
      `  ${question}, ${round === 0 ? "warm-up" : `pair ${round}`}: ${a.toFixed(0)} ms against ${b.toFixed(0)} ms\n`,
    );
    if (round === 0) continue;
    ours.push(a);
    baseline.push(b);
  }
  const ratios = ours.map((value, at) => value / (baseline[at] ?? Number.NaN));
  return {
    question,
    ours,
    baseline,
    medianRatio: median(ratios),
    lowestRatio: Math.min(...ratios),
  };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return sorted.length % 2 === 1
    ? (sorted[Math.floor(middle)] ?? Number.NaN)
    : ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2;
}

/** How long `work` takes, in ms. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}

export function printPairs(title: string, baseline: string, target: string, pairs: Pairs): void {
  console.log(`\n${title}`);
  console.log(`  baseline: ${baseline}`);
  console.table({
    ours: {
      "median ms": Math.round(median(pairs.ours)),
      "lowest ms": Math.round(Math.min(...pairs.ours)),
    },
    baseline: {
      "median ms": Math.round(median(pairs.baseline)),
      "lowest ms": Math.round(Math.min(...pairs.baseline)),
    },
  });
  console.log(
    `  ratio of pairs: median ${pairs.medianRatio.toFixed(2)}, lowest ${pairs.lowestRatio.toFixed(2)} (${pairs.ours.length} pairs; target ${target})`,
  );
}
