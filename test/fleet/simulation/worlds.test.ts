import { expect, test } from "vitest";
import { simulate } from "./simulation.ts";
import { LARGE, sizeOf } from "./sizes.ts";

/*
 * The planners of both sides over virtual time: hosts that lose power and links, agents, workers and an
 * api that come and go, messages lost, late and twice, people who ask for anything at any moment. One seed,
 * one life; a seed that fails says how to run it again, and WAYBILL_SEEDS=<count> runs more of them.
 */

const { WAYBILL_SEED, WAYBILL_SEEDS = "30" } = process.env;
const first = Number(WAYBILL_SEED ?? 1);
const count = WAYBILL_SEED ? Number(first < LARGE) : Number(WAYBILL_SEEDS);
const seeds = Array.from({ length: count }, (_, at) => first + at);
/** Only against a life without an end. */
const LONGEST_MS = 3_600_000;

test.runIf(seeds.length > 0)(
  "whatever fails, nothing that must not happen does, and all is well in the end",
  () => {
    const broken = seeds.flatMap((seed) => {
      try {
        simulate(seed, sizeOf(seed));
        return [];
      } catch (error) {
        return [error instanceof Error ? error.message : String(error)];
      }
    });

    expect(broken.join("\n\n")).toBe("");
  },
  LONGEST_MS,
);
