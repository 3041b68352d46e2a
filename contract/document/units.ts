import { z } from "zod";

const QUANTITY =
  /^([+-]?)(\d+\.?\d*|\.\d+)(?:([eE][+-]?\d{1,3})|(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei))?$/;
/** No honest quantity is longer, and arithmetic on a million digits takes its time. */
const MAX_CHARS = 64;
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
/** Quantities are kept to billionths. */
const NANO_DIGITS = 9;
const NANOS = 10n ** BigInt(NANO_DIGITS);
const MAX_INT64 = 2n ** 63n - 1n;
/** The largest double that is still an int64. */
const MAX_NUMBER = 2 ** 63 - 1024;

/**
 * A Kubernetes quantity ("1G", "0.5G", "512Mi", "500m") in billionths of its unit: finer parts are
 * rounded away from zero, more than an int64 is an int64. Undefined when the text is not one.
 * Source: apimachinery's resource.Quantity.
 */
function quantityNanos(text: string): bigint | undefined {
  const match = text.length > MAX_CHARS ? null : QUANTITY.exec(text);
  if (!match) return undefined;
  const [, sign = "", digits = "", exponent, suffix = ""] = match;
  const [whole = "", fraction = ""] = digits.split(".");
  const power = exponent === undefined ? (DECIMAL[suffix] ?? 0) : Number(exponent.slice(1));
  const places = NANO_DIGITS + power - fraction.length;
  const numerator = BigInt(whole + fraction) << (BINARY[suffix] ?? 0n);
  const nanos =
    places >= 0 ? numerator * 10n ** BigInt(places) : dividedUp(numerator, 10n ** BigInt(-places));
  const capped = nanos > MAX_INT64 * NANOS ? MAX_INT64 * NANOS : nanos;
  return sign === "-" ? -capped : capped;
}

function dividedUp(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator;
  return numerator > 0n && numerator % denominator !== 0n ? quotient + 1n : quotient;
}

/** Exact up to 2^53, which is 8 PiB; beyond it the nearest number that an int64 holds. */
function asNumber(whole: bigint): number {
  return Math.min(Number(whole), MAX_NUMBER);
}

/** CPU in thousandths of a core, rounded up. */
export function cpuMillis(text: string): number | undefined {
  const nanos = quantityNanos(text);
  return nanos === undefined ? undefined : asNumber(dividedUp(nanos, NANOS / 1000n));
}

/** Memory or disk in bytes, rounded up. */
export function bytes(text: string): number | undefined {
  const nanos = quantityNanos(text);
  return nanos === undefined ? undefined : asNumber(dividedUp(nanos, NANOS));
}

/** Whether `a` is more than `b`, exactly; false where one of them is no quantity. */
export function moreThan(a: string, b: string): boolean {
  const [left, right] = [quantityNanos(a), quantityNanos(b)];
  return left !== undefined && right !== undefined && left > right;
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

/** A quantity may be written as a number (`cpu: 2`), as in Kubernetes; it is kept as its text. */
function quantity(isOne: (text: string) => boolean, message: string) {
  return z
    .union([z.string(), z.number()], message)
    .transform((written) => String(written))
    .pipe(z.string().refine(isOne, message));
}

const aboveZero = (value: number | undefined) => value !== undefined && value > 0;
const notNegative = (value: number | undefined) => value !== undefined && value >= 0;

export const CpuQuantity = quantity(
  (text) => aboveZero(cpuMillis(text)),
  'must be a CPU quantity above zero, such as "500m" or "2"',
);
export const MemoryQuantity = quantity(
  (text) => aboveZero(bytes(text)),
  'must be a memory quantity above zero, such as "512Mi" or "1G"',
);
/** A container may ask for nothing, as in Kubernetes; a limit of nothing would be none. */
export const CpuRequest = quantity(
  (text) => notNegative(cpuMillis(text)),
  'must be a CPU quantity, such as "500m" or "2"',
);
export const MemoryRequest = quantity(
  (text) => notNegative(bytes(text)),
  'must be a memory quantity, such as "512Mi" or "1G"',
);
export const Duration = z
  .string()
  .refine(
    (text) => (durationMs(text) ?? 0) > 0,
    'must be a duration above zero, such as "300s" or "5m"',
  );
