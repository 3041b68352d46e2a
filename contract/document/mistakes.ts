import { z } from "zod";
import type { FieldError } from "../problem.ts";
import { jsonPointer } from "./document.ts";

/** One mistake in a document, before it is known where its writer sees it. */
export type Mistake = { readonly path: readonly PropertyKey[]; readonly message: string };

/** What is said of a field that its place does not have; undefined where nothing better is known. */
export type Hints = (path: readonly PropertyKey[], key: string) => string | undefined;

/** As many are named: more help nobody, and to look for the nearest name takes its time. */
export const MAX_MISTAKES = 200;
/** A longer one is near to no name that there is. */
const MAX_MISSPELT = 40;

/** One mistake a field, up to some hundreds: an unknown field is named itself, with the nearest name that its place has. */
export function mistakesOf(
  error: z.ZodError,
  schema: z.ZodType,
  hints: Hints = () => undefined,
): readonly Mistake[] {
  const mistakes: Mistake[] = [];
  for (const issue of error.issues) {
    if (mistakes.length > MAX_MISTAKES) break;
    if (issue.code === "unrecognized_keys") {
      mistakes.push(...unknownFields(issue.path, issue.keys, schema, hints));
    } else mistakes.push({ path: issue.path, message: wordsOf(issue) });
  }
  return mistakes;
}

function unknownFields(
  path: readonly PropertyKey[],
  keys: readonly string[],
  schema: z.ZodType,
  hints: Hints,
): readonly Mistake[] {
  const known = fieldsAt(schema, path);
  return keys.slice(0, MAX_MISTAKES).map((key) => ({
    path: [...path, key],
    message: hints(path, key) ?? unknownField(key, known),
  }));
}

/** The same as errors of the wire. */
export function fieldErrors(error: z.ZodError, schema: z.ZodType): readonly FieldError[] {
  return mistakesOf(error, schema).map(({ path, message }) => ({
    pointer: jsonPointer(path),
    message,
  }));
}

const KINDS: Readonly<Record<string, string>> = {
  string: "a text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "an object",
  record: "an object",
};

/** A schema's own words; where it has none, what the field must be. */
function wordsOf(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "invalid_key":
      return issue.issues[0]?.message ?? issue.message;
    case "invalid_type":
      return wrongKind(issue);
    case "invalid_value":
      if (!/^Invalid (input|option):/.test(issue.message)) return issue.message;
      return `must be ${issue.values.map((it) => JSON.stringify(it)).join(" or ")}`;
    case "too_big":
      if (!issue.message.startsWith("Too big:")) return issue.message;
      return `must ${amount(issue.origin, `at most ${issue.maximum}`)}`;
    case "too_small":
      if (!issue.message.startsWith("Too small:")) return issue.message;
      return `must ${amount(issue.origin, `at least ${issue.minimum}`)}`;
    default:
      return issue.message;
  }
}

function wrongKind({ expected, message }: z.core.$ZodIssueInvalidType): string {
  if (!message.startsWith("Invalid input:")) return message;
  if (message.endsWith("received undefined")) return `is missing: ${expected} expected`;
  if (expected === "string" && /received (number|boolean)$/.test(message)) {
    return "must be a text: put it in quotes";
  }
  return `must be ${KINDS[expected] ?? expected}`;
}

function amount(origin: string, bound: string): string {
  if (origin === "array") return `have ${bound} entries`;
  return origin === "string" ? `have ${bound} characters` : `be ${bound}`;
}

function unknownField(key: string, known: readonly string[]): string {
  const near = key.length > MAX_MISSPELT ? undefined : nearest(key, known);
  return near === undefined ? "unknown field" : `unknown field; did you mean "${near}"?`;
}

function nearest(key: string, known: readonly string[]): string | undefined {
  const near = known
    .map((name) => ({ name, distance: editDistance(key.toLowerCase(), name.toLowerCase()) }))
    .filter(({ name, distance }) => distance <= Math.max(1, Math.floor(name.length / 3)))
    .sort((a, b) => a.distance - b.distance)[0];
  return near?.name;
}

/** The names of the fields that the object at `path` may have. */
function fieldsAt(schema: z.ZodType, path: readonly PropertyKey[]): readonly string[] {
  let at: z.ZodType | undefined = schema;
  for (const key of path) at = at && within(bare(at), key);
  const place = at && bare(at);
  return place instanceof z.ZodObject ? Object.keys(place.shape) : [];
}

function within(schema: z.ZodType, key: PropertyKey): z.ZodType | undefined {
  if (schema instanceof z.ZodObject) return schema.shape[String(key)];
  if (schema instanceof z.ZodArray) return schema.element as z.ZodType;
  if (schema instanceof z.ZodRecord) return schema.valueType as z.ZodType;
  return undefined;
}

/** The schema below what only says that it may be left out, or what becomes of it. */
function bare(schema: z.ZodType): z.ZodType {
  if (
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault
  ) {
    return bare(schema.unwrap() as z.ZodType);
  }
  return schema instanceof z.ZodPipe ? bare(schema.in as z.ZodType) : schema;
}

/** Levenshtein's distance, for short words. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
