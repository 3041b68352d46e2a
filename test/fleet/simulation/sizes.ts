import { seeded } from "./random.ts";
import type { Size } from "./simulation.ts";

/** From this seed on a world is a large one. */
export const LARGE = 1_000_000;
const MINUTE_MS = 60_000;

/**
 * The world that a seed stands for. Small ones find most, in many lives of another kind each; in every
 * second one nothing that runs breaks by itself, and no request has a reason to fail.
 */
export function sizeOf(seed: number): Size {
  if (seed >= LARGE) return LARGE_WORLD;
  const random = seeded(seed);
  return {
    nodes: random.int(3, 10),
    apps: random.int(4, 12),
    mostReplicas: 4,
    memoryGib: random.pick([2, 6]),
    faultsMs: random.int(20, 45) * MINUTE_MS,
    calmMs: 15 * MINUTE_MS,
    faultsEach: random.pick([0.01, 0.03, 0.06]),
    wishesEach: random.pick([0.01, 0.04, 0.08]),
    gentle: seed % 2 === 0,
  };
}

const LARGE_WORLD: Size = {
  nodes: 2_000,
  apps: 2_300,
  mostReplicas: 8,
  memoryGib: 6,
  faultsMs: 10 * MINUTE_MS,
  calmMs: 10 * MINUTE_MS,
  faultsEach: 0.5,
  wishesEach: 0.5,
  gentle: false,
};
