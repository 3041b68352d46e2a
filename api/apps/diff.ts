import { jsonPointer } from "../../contract/document/document.ts";
import { canonicalJson } from "../../contract/pod/pod.ts";

export type FieldChange = {
  readonly pointer: string;
  /** Absent: it was not there. */
  readonly from?: unknown;
  /** Absent: it is not there any more. */
  readonly to?: unknown;
};

/** Every leaf in which two plain values differ, in the order of their pointers. Arrays differ as a whole. */
export function diff(
  from: unknown,
  to: unknown,
  path: readonly PropertyKey[] = [],
): readonly FieldChange[] {
  if (isObject(from) && isObject(to)) {
    const keys = [...new Set([...Object.keys(from), ...Object.keys(to)])].sort();
    return keys.flatMap((key) => diff(from[key], to[key], [...path, key]));
  }
  if (same(from, to)) return [];
  return [
    {
      pointer: jsonPointer(path),
      ...(from !== undefined && { from }),
      ...(to !== undefined && { to }),
    },
  ];
}

/** Keys have no order. */
function same(a: unknown, b: unknown): boolean {
  return a === undefined || b === undefined ? a === b : canonicalJson(a) === canonicalJson(b);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}
