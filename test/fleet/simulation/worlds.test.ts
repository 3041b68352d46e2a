import { expect, test } from "vitest";
import { simulate } from "./simulation.ts";

/*
 * The planners over virtual time: hosts that lose power and links, agents and a control plane that come
 * and go, messages lost, late and twice. One seed, one life; a seed that fails is run again by
 * WAYBILL_SEED=<seed> vitest run test/fleet/simulation, and more of them by WAYBILL_SEEDS=<count>.
 */

const { WAYBILL_SEED, WAYBILL_SEEDS = "20", WAYBILL_NODES = "8" } = process.env;
const first = Number(WAYBILL_SEED ?? 1);
const seeds = Array.from(
  { length: WAYBILL_SEED ? 1 : Number(WAYBILL_SEEDS) },
  (_, at) => first + at,
);
const nodes = Number(WAYBILL_NODES);
/** Only against a life without an end: many seeds, or thousands of nodes, take their time. */
const LONGEST_MS = 3_600_000;

test(
  "whatever fails, no singleton runs twice, no host holds too much, and all is well in the end",
  () => {
    const broken = seeds.flatMap((seed) => {
      try {
        simulate(seed, { nodes, apps: nodes, faultsMs: 2_400_000, calmMs: 900_000 });
        return [];
      } catch (error) {
        return [error instanceof Error ? error.message : String(error)];
      }
    });

    expect(broken).toEqual([]);
  },
  LONGEST_MS,
);
