import { expect, test } from "vitest";
import {
  bytes,
  CpuQuantity,
  cpuMillis,
  durationMs,
  MemoryQuantity,
  moreThan,
} from "../../contract/document/units.ts";

test.each([
  ["1G", 1_000_000_000],
  ["0.5G", 500_000_000],
  ["512Mi", 536_870_912],
  ["1.5Ki", 1_536],
  ["128974848", 128_974_848],
  ["129e6", 129_000_000],
  ["1E3", 1_000],
  ["1E", 1_000_000_000_000_000_000],
  [".5k", 500],
  ["5.", 5],
  ["+5", 5],
  ["1m", 1],
  ["0.1", 1],
  ["0.0000000001", 1],
  ["1001m", 2],
  ["0", 0],
])("%s is %d bytes, as Kubernetes reads it", (text, wanted) => {
  expect(bytes(text)).toBe(wanted);
});

test.each([
  ["500m", 500],
  ["2", 2_000],
  ["0.1", 100],
  ["100u", 1],
  ["1n", 1],
  ["1.5", 1_500],
  ["1500001u", 1_501],
])("%s is %d thousandths of a core", (text, wanted) => {
  expect(cpuMillis(text)).toBe(wanted);
});

test("every byte is counted up to 8 PiB, and no quantity is more than an int64", () => {
  expect(bytes("9007199254740991")).toBe(Number.MAX_SAFE_INTEGER);
  expect(bytes("8796093022209")).toBe(8_796_093_022_209);
  expect(bytes("17592186044417.5")).toBe(17_592_186_044_418);
  for (const much of ["8Ei", "9999E", "1e30", "1e999"]) {
    expect(BigInt(bytes(much) ?? 0), much).toBeLessThan(2n ** 63n);
    expect(bytes(much), much).toBeGreaterThan(9e18);
  }
});

test.each([
  ...[
    "",
    "5 potatoes",
    "1g",
    "1KiB",
    "1 G",
    "Mi",
    "0x10",
    "1e",
    "--1",
    "1.2.3",
    "NaN",
    " 1",
    "1\n",
  ],
  ...["1K", "1mi", ".", "+", "1e+", "Infinity", "9".repeat(1_000_000)],
])("%.20j is not a quantity", (text) => {
  expect(bytes(text)).toBeUndefined();
});

test("two quantities are compared exactly, whatever they are written in", () => {
  expect(moreThan("1G", "1000M")).toBe(false);
  expect(moreThan("1000000001", "1G")).toBe(true);
  expect(moreThan("9007199254740993", "9007199254740992")).toBe(true);
  expect(moreThan("1.0000000001", "1")).toBe(true);
  expect(moreThan("many", "1")).toBe(false);
});

test("a quantity may be a number, and is kept as its text", () => {
  expect(CpuQuantity.parse(2)).toBe("2");
  expect(CpuQuantity.parse(0.5)).toBe("0.5");
  expect(MemoryQuantity.parse(1073741824)).toBe("1073741824");
  expect(MemoryQuantity.parse("1Gi")).toBe("1Gi");
  for (const none of [0, -1, "0", "-1Gi", Number.NaN, Infinity, true, null]) {
    expect(CpuQuantity.safeParse(none).success, String(none)).toBe(false);
    expect(MemoryQuantity.safeParse(none).success, String(none)).toBe(false);
  }
});

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
