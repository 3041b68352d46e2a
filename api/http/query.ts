import { z } from "zod";
import { ContextPath } from "../../contract/app/app-spec.ts";
import { fieldErrors } from "../../contract/document/mistakes.ts";
import { Problem } from "../../contract/problem.ts";

/**
 * The query as its schema wants it: unknown names, repeated names and bad values are all named at
 * once. What the schema wants as an array may stand there many times.
 */
export function readQuery<T extends z.ZodObject>(url: string, schema: T): z.infer<T> {
  const parameters = new URL(url).searchParams;
  const names = [...parameters.keys()];
  const isMany = (name: string) => schema.shape[name] instanceof z.ZodArray;
  const repeated = names.filter((name, at) => names.indexOf(name) !== at && !isMany(name));
  const values = names.map((name) => {
    return [name, isMany(name) ? parameters.getAll(name) : parameters.getAll(name).at(-1)];
  });
  const read = schema.safeParse(Object.fromEntries(values));
  const errors = [
    ...repeated.map((name) => ({ pointer: `/${name}`, message: "stands here twice" })),
    ...(read.success ? [] : fieldErrors(read.error, schema)),
  ];
  if (read.success && errors.length === 0) return read.data;
  throw new Problem("query-invalid", "The query does not validate.", { extras: { errors } });
}

export const Flag = z
  .enum(["true", "false"])
  .default("false")
  .transform((text) => text === "true");
export const wholeNumber = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d{1,9}$/, "must be a whole number")
    .transform(Number)
    .pipe(z.int().min(min).max(max));

export const NoQuery = z.strictObject({});

const WAIT = {
  wait: z.literal("healthy").optional(),
  timeout: wholeNumber(1, 900).default(120),
  dryRun: Flag,
};
export const DeclareQuery = z.strictObject(WAIT);
export const WarQuery = z.strictObject({ ...WAIT, contextPath: ContextPath.optional() });
export const RestartQuery = z.strictObject({ wait: WAIT.wait, timeout: WAIT.timeout });
export type WaitQuery = z.infer<typeof RestartQuery>;
export const DeleteQuery = z.strictObject({
  wait: z.literal("gone").optional(),
  timeout: WAIT.timeout,
});

const limit = wholeNumber(1, 200).default(50);
/** A cursor is what an answer's `next` said, and nothing that anybody should make up. */
const cursor = z
  .string()
  .max(200)
  .regex(/^[A-Za-z0-9_-]+$/, "must be the `next` of an earlier answer")
  .optional();
export const PageQuery = z.strictObject({ limit, cursor });
export const EventsQuery = z.strictObject({
  limit,
  cursor,
  release: wholeNumber(1, 999_999_999).optional(),
});
export const DesiredQuery = z.strictObject({ waitMs: wholeNumber(0, 55_000).default(25_000) });

export function toCursor(text: string): string {
  return btoa(`v1:${text}`).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** What a cursor stands for: of the given pattern, or the cursor is not one of ours. */
export function fromCursor(cursor: string | undefined, pattern: RegExp): string | undefined {
  if (cursor === undefined) return undefined;
  const [, text] = /^v1:(.*)$/s.exec(decodeCursor(cursor)) ?? [];
  if (text !== undefined && pattern.test(text)) return text;
  throw new Problem("query-invalid", "The query does not validate.", {
    extras: {
      errors: [{ pointer: "/cursor", message: "must be the `next` of an earlier answer" }],
    },
  });
}

function decodeCursor(cursor: string): string {
  try {
    return atob(cursor.replaceAll("-", "+").replaceAll("_", "/"));
  } catch (error) {
    if (error instanceof DOMException) return ""; // no base64, so none of ours
    throw error;
  }
}
