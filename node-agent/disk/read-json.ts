import { z } from "zod";

/** What a text holds, or what is wrong with it, in words that quote nothing of it but names of fields. */
export type Read<T> =
  | { readonly value: T; readonly problem?: undefined }
  | { readonly value?: undefined; readonly problem: string };

/** A garbled document of many parts has a complaint for each; this much of it helps, and fits a log line. */
const COMPLAINT_CHARS = 900;

/** Reads a text that may be anything. What JSON.parse says of it may quote a secret, and goes nowhere. */
export function readJson<T>(schema: z.ZodType<T>, text: string): Read<T> {
  const json = jsonIn(text);
  if (json === undefined) return { problem: "is not JSON" };
  const read = schema.safeParse(json.value);
  if (read.success) return { value: read.data };
  return { problem: `does not validate: ${z.prettifyError(read.error)}`.slice(0, COMPLAINT_CHARS) };
}

function jsonIn(text: string): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) as unknown };
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
