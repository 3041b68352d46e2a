import { test } from "vitest";
import { simulate } from "./simulation.ts";
import { LARGE, sizeOf } from "./sizes.ts";

const { WAYBILL_SEED } = process.env;
const seed = Number(WAYBILL_SEED ?? LARGE);
/** Only against a life without an end. */
const LONGEST_MS = 3_600_000;

test.runIf(seed >= LARGE)(
  "two thousand hosts with six thousand pods hold as small worlds do",
  () => simulate(seed, sizeOf(seed)),
  LONGEST_MS,
);
