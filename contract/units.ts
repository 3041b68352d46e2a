import { z } from "zod";

const QUANTITY =
  /^([+-]?)(\d+\.?\d*|\.\d+)(?:([eE][+-]?\d{1,3})|(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei))?$/;
const DECIMAL: Readonly<Record<string, number>> = {
  n: -9,
  u: -6,
  m: -3,
  "": 0,
  k: 3,
  M: 6,
  G: 9,
  T: 12,
  P: 15,
  E: 18,
};
const BINARY: Readonly<Record<string, bigint>> = {
  Ki: 10n,
  Mi: 20n,
  Gi: 30n,
  Ti: 40n,
  Pi: 50n,
  Ei: 60n,
};

/**
 * A Kubernetes quantity ("1G", "0.5G", "512Mi", "500m") in thousandths of its unit, rounded up as
 * Kubernetes rounds; undefined when the text is not one. Source: apimachinery's resource.Quantity.
 */
function quantityMillis(text: string): number | undefined {
  const match = QUANTITY.exec(text);
  if (!match) return undefined;
  const [, sign = "", digits = "", exponent, suffix = ""] = match;
  const [whole = "", fraction = ""] = digits.split(".");
  const binary = BINARY[suffix];
  let power = 3 - fraction.length;
  power += exponent === undefined ? (DECIMAL[suffix] ?? 0) : Number(exponent.slice(1));
  let numerator = BigInt(whole + fraction) << (binary ?? 0n);
  let denominator = 1n;
  if (power >= 0) numerator *= 10n ** BigInt(power);
  else denominator = 10n ** BigInt(-power);
  const rounded = (numerator + denominator - 1n) / denominator;
  const value = Number(rounded);
  if (!Number.isSafeInteger(value)) return undefined;
  return sign === "-" ? -value : value;
}

/** CPU in thousandths of a core. */
export function cpuMillis(text: string): number | undefined {
  return quantityMillis(text);
}

/** Memory or disk in bytes, rounded up. */
export function bytes(text: string): number | undefined {
  const millis = quantityMillis(text);
  return millis === undefined ? undefined : Math.ceil(millis / 1000);
}

/** A span of time such as "300s", "5m" or "1h30m", in ms; undefined when the text is not one. */
export function durationMs(text: string): number | undefined {
  if (!/^(\d+(ms|s|m|h))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, count, unit] of text.matchAll(/(\d+)(ms|s|m|h)/g)) {
    total +=
      Number(count) *
      (unit === "ms" ? 1 : unit === "s" ? 1_000 : unit === "m" ? 60_000 : 3_600_000);
  }
  return Number.isSafeInteger(total) ? total : undefined;
}

export const CpuQuantity = z
  .string()
  .refine(
    (text) => (cpuMillis(text) ?? 0) > 0,
    'must be a CPU quantity above zero, such as "500m" or "2"',
  );
export const MemoryQuantity = z
  .string()
  .refine(
    (text) => (bytes(text) ?? 0) > 0,
    'must be a memory quantity above zero, such as "512Mi" or "1G"',
  );
export const Duration = z
  .string()
  .refine(
    (text) => (durationMs(text) ?? 0) > 0,
    'must be a duration above zero, such as "300s" or "5m"',
  );
