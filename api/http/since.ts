/** The last millisecond of year 9999: later ones are spelled otherwise. */
const LAST_MS = 253_402_300_799_999;

/**
 * A moment from 1970 on as people write it: RFC 3339, or how long ago, such as "10m" or "1h30m".
 * Undefined: neither. Pure.
 */
export function parseSince(text: string, nowMs: number): Date | undefined {
  if (/^(\d{1,6}(ms|s|m|h|d))+$/.test(text)) {
    const parts = [...text.matchAll(/(\d+)(ms|s|m|h|d)/g)];
    const agoMs = parts.reduce((sum, [, count, unit]) => sum + Number(count) * unitMs(unit), 0);
    return new Date(Math.max(0, nowMs - agoMs));
  }
  const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/i;
  const ms = rfc3339.test(text) ? Date.parse(text) : Number.NaN;
  return ms >= 0 && ms <= LAST_MS ? new Date(ms) : undefined;
}

function unitMs(unit: string | undefined): number {
  if (unit === "ms") return 1;
  if (unit === "s") return 1_000;
  if (unit === "m") return 60_000;
  return unit === "h" ? 3_600_000 : 86_400_000;
}
