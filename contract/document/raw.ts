import type { Mistake } from "./mistakes.ts";

/*
 * Looks into a document that may be anything: what is not of the expected kind reads as empty, since
 * the schema names that mistake, and the rules still see everything else.
 */

/** No place of a spec has more members. */
const MAX_MEMBERS = 1_000;
/** No spec that anybody wrote has as many, every text and number counted. */
const MAX_VALUES = 20_000;

export type RawObject = Readonly<Record<string, unknown>>;

export function isRawObject(value: unknown): value is RawObject {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

export function rawObject(value: unknown): RawObject {
  return isRawObject(value) ? value : {};
}

export function rawList(value: unknown): readonly RawObject[] {
  return Array.isArray(value) ? value.map(rawObject) : [];
}

export function rawText(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** The ones among `names` that are there. */
export function present(value: RawObject, names: readonly string[]): readonly string[] {
  return names.filter((name) => Object.hasOwn(value, name) && value[name] !== undefined);
}

/**
 * What is too large of a parsed text for a schema to look at each member: places with more members
 * than any place of a spec has, or more values than any spec has in all. Nothing else is looked at.
 */
export function tooMany(document: unknown): readonly Mistake[] {
  const wide: Mistake[] = [];
  let values = 0;
  const look = (value: unknown, path: readonly PropertyKey[]): void => {
    if (++values > MAX_VALUES || value === null || typeof value !== "object") return;
    const members: readonly (readonly [PropertyKey, unknown])[] = Array.isArray(value)
      ? [...value.entries()]
      : Object.entries(value);
    if (members.length > MAX_MEMBERS) {
      wide.push({ path, message: `must not have more than ${MAX_MEMBERS} members` });
    } else for (const [key, inner] of members) look(inner, [...path, key]);
  };
  look(document, []);
  if (values <= MAX_VALUES) return wide;
  return [{ path: [], message: `must not hold more than ${MAX_VALUES} values` }, ...wide];
}
