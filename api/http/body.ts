import { z } from "zod";
import { jsonPointer, parseDocumentText, type Syntax } from "../../contract/document/document.ts";
import { fieldErrors } from "../../contract/document/mistakes.ts";
import { type FieldError, Problem } from "../../contract/problem.ts";
import type { Call } from "./route.ts";

/** The whole body as text, in memory: refused when it is larger than the route takes, or not UTF-8. */
export async function readText(call: Call): Promise<string> {
  const limit = typeof call.route.bodyLimit === "number" ? call.route.bodyLimit : 0;
  const encoding = call.c.req.header("content-encoding") ?? "identity";
  if (encoding !== "identity") {
    throw new Problem("media-type", `A body with content-encoding "${encoding}" is not taken.`);
  }
  return decode(await readBytes(call, limit));
}

/** The whole body, in memory: refused when it is larger than `limit`. */
export async function readBytes(call: Call, limit: number): Promise<Uint8Array<ArrayBuffer>> {
  const length = call.c.req.header("content-length");
  if (Number(length ?? 0) > limit) throw tooLarge(limit);
  // It is as long as it says, and taken whole at a fraction of what its stream costs.
  if (length !== undefined) return new Uint8Array(await call.c.req.raw.arrayBuffer());
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of call.c.req.raw.body ?? []) {
    size += chunk.byteLength;
    if (size > limit) throw tooLarge(limit);
    chunks.push(chunk);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return bytes;
}

/** The body's one document, JSON or YAML by its content type, as plain values. */
export function readDocument(call: Call, text: string): unknown {
  const value = parseDocumentText(text, syntaxOf(call, text));
  refuseBrokenStrings([value]);
  return value;
}

/**
 * The body of a POST that has nothing to say: none, or `{}`, as clients send that send JSON with
 * everything. It is read before the route's handler is asked.
 */
export const NO_FIELDS = { bodyLimit: 1_024, body: z.strictObject({}) } as const;

/** The body as `schema` wants it, every mistake named at once. No body at all is one without a field. */
export function readRequest<T extends z.ZodType>(call: Call, text: string, schema: T): z.infer<T> {
  const read = schema.safeParse(text.trim() === "" ? {} : readDocument(call, text));
  if (read.success) return read.data;
  throw new Problem("request-invalid", "The request does not validate; nothing was changed.", {
    extras: { errors: fieldErrors(read.error, schema) },
  });
}

/**
 * The same from a node, with strings as a database holds them: what is in them a container may have
 * said, and it must not silence its node.
 */
export function readNodeDocument(call: Call, text: string): unknown {
  return mended(parseDocumentText(text, syntaxOf(call, text)));
}

/** The documents of a body: each of a YAML stream, each element of a JSON array, or the one there is. */
export function readDocuments(call: Call, text: string, atMost: number): readonly unknown[] {
  const syntax = syntaxOf(call, text);
  const texts = syntax === "yaml" ? yamlParts(text) : [text];
  if (texts.length > atMost) throw tooMany(atMost);
  const parsed = texts.map((it) => parseDocumentText(it, syntax));
  const values = syntax === "json" ? parsed.flat(1) : parsed;
  if (values.length > atMost) throw tooMany(atMost);
  refuseBrokenStrings(values);
  return values;
}

/** A marker of three dashes at a line's start ends a YAML document wherever it stands, so a split is enough. */
function yamlParts(text: string): string[] {
  return text
    .split(/^---(?=\s|$)/m)
    .map((part) => part.replace(/^\.\.\.\s*$/gm, ""))
    .filter((part) => /^[ \t]*[^#\s]/m.test(part));
}

const SYNTAXES: Readonly<Record<string, Syntax>> = {
  "application/json": "json",
  "application/yaml": "yaml",
  "application/x-yaml": "yaml",
  "text/yaml": "yaml",
  "text/x-yaml": "yaml",
};

function syntaxOf(call: Call, text: string): Syntax {
  const header = call.c.req.header("content-type");
  if (header === undefined || header.trim() === "") {
    return /^\s*[{[]/.test(text) ? "json" : "yaml";
  }
  const [type = "", ...parameters] = header.split(";").map((part) => part.trim().toLowerCase());
  const syntax = SYNTAXES[type];
  const charset = parameters
    .find((it) => it.startsWith("charset="))
    ?.replace(/^charset="?|"$/g, "");
  if (syntax === undefined || (charset !== undefined && charset !== "utf-8")) {
    throw new Problem(
      "media-type",
      `"${header}" is not taken here; send application/json or application/yaml, in UTF-8.`,
    );
  }
  return syntax;
}

function decode(bytes: Uint8Array): string {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    if (text.startsWith("\uFEFF")) throw new Problem("body-invalid", "The body starts with a BOM.");
    return text;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new Problem("body-invalid", "The body is not UTF-8.", { cause: error });
  }
}

/** Strings that no database holds: with a NUL, or with half of a surrogate pair. */
function refuseBrokenStrings(values: readonly unknown[]): void {
  const errors: FieldError[] = [];
  const look = (value: unknown, path: readonly PropertyKey[]) => {
    if (typeof value === "string") {
      if (value.includes("\0") || !value.isWellFormed()) {
        errors.push({ pointer: jsonPointer(path), message: "is not a text that can be stored" });
      }
    } else if (value !== null && typeof value === "object") {
      for (const [key, inner] of Object.entries(value)) {
        look(key, path);
        look(inner, [...path, key]);
      }
    }
  };
  for (const value of values) look(value, []);
  if (errors.length > 0) {
    throw new Problem("body-invalid", "The body holds characters that are not taken.", {
      extras: { errors },
    });
  }
}

/** With U+FFFD, which says that something else stood there, for a NUL and half of a surrogate pair. */
function mended(value: unknown): unknown {
  if (typeof value === "string") return value.replaceAll("\0", "\uFFFD").toWellFormed();
  if (Array.isArray(value)) return value.map(mended);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, mended(inner)]));
}

function tooMany(atMost: number): Problem {
  return new Problem("body-invalid", `At most ${atMost} documents are taken at once.`);
}

function tooLarge(limit: number): Problem {
  return new Problem("body-too-large", `This route takes bodies of at most ${limit} bytes.`);
}
