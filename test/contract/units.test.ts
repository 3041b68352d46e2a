import { expect, test } from "vitest";
import { bytes, cpuMillis, durationMs } from "../../contract/units.ts";

test.each([
  ["1G", 1_000_000_000],
  ["0.5G", 500_000_000],
  ["512Mi", 536_870_912],
  ["1.5Ki", 1_536],
  ["128974848", 128_974_848],
  ["129e6", 129_000_000],
  ["1E3", 1_000],
  [".5k", 500],
  ["5.", 5],
  ["1m", 1],
  ["0.1", 1],
])("%s is %d bytes, as Kubernetes reads it", (text, wanted) => {
  expect(bytes(text)).toBe(wanted);
});

test.each([
  ["500m", 500],
  ["2", 2_000],
  ["0.1", 100],
  ["100u", 1],
  ["1.5", 1_500],
])("%s is %d thousandths of a core", (text, wanted) => {
  expect(cpuMillis(text)).toBe(wanted);
});

test.each(["", "5 potatoes", "1g", "1KiB", "1 G", "Mi", "0x10", "1e", "--1", "1.2.3", "NaN"])(
  "%j is not a quantity",
  (text) => {
    expect(bytes(text)).toBeUndefined();
  },
);

test.each([
  ["300s", 300_000],
  ["5m", 300_000],
  ["1h30m", 5_400_000],
  ["250ms", 250],
  ["5 m", undefined],
  ["300", undefined],
])("%s is %s milliseconds", (text, wanted) => {
  expect(durationMs(text)).toBe(wanted);
});
