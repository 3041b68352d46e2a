import { isMap, isPair, isScalar, isSeq, parseDocument, visit } from "yaml";
import { type FieldError, Problem } from "./problem.ts";

/** Deeper than any honest document; checked before anything recursive reads the text. */
const MAX_DEPTH = 64;

export type Syntax = "json" | "yaml";

/**
 * A JSON or YAML text as plain values. Refuses, with a Problem, what other parsers let pass: nesting
 * beyond 64, the same key twice, `__proto__`, YAML tags, anchors and aliases, more than one document.
 */
export function parseDocumentText(text: string, syntax: Syntax): unknown {
  refuseTooDeep(text, syntax);
  if (syntax === "json") refuseBrokenJson(text);
  const document = readYaml(text, syntax);
  const [first] = document.errors;
  if (first)
    throw new Problem(
      "body-invalid",
      `The body is not ${syntax.toUpperCase()}: ${oneLine(first.message)}`,
    );
  const { duplicates, forbidden } = inspect(document);
  if (duplicates.length > 0) {
    throw new Problem(
      "duplicate-key",
      "The same key stands twice in one object, so it is not clear which one counts.",
      {
        extras: { errors: duplicates },
      },
    );
  }
  if (forbidden.length > 0) {
    throw new Problem("body-invalid", "The body uses what is not taken here.", {
      extras: { errors: forbidden },
    });
  }
  return document.toJS({ maxAliasCount: 0 });
}

/** One RFC 6901 pointer for a path of keys and indexes. */
export function jsonPointer(path: readonly PropertyKey[]): string {
  return path.map((key) => `/${String(key).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

function refuseBrokenJson(text: string): void {
  try {
    JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new Problem("body-invalid", `The body is not JSON: ${oneLine(error.message)}`, {
      cause: error,
    });
  }
}

function readYaml(text: string, syntax: Syntax): ReturnType<typeof parseDocument> {
  try {
    return parseDocument(text, {
      schema: syntax === "json" ? "json" : "core",
      uniqueKeys: false,
      prettyErrors: false,
      merge: false,
    });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw tooDeep(error);
  }
}

/** Brackets are counted outside of strings; for YAML also the indentation, which nests as well. */
function refuseTooDeep(text: string, syntax: Syntax): void {
  let depth = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (quoted) {
      if (char === "\\") at++;
      else if (char === '"') quoted = false;
    } else if (char === '"' && syntax === "json") quoted = true;
    else if (char === "{" || char === "[") {
      if (++depth > MAX_DEPTH) throw tooDeep();
    } else if (char === "}" || char === "]") depth--;
  }
  if (syntax === "yaml" && /^(?:[ ]{512}|(?:- ){65}|(?:\? ){65})/m.test(text)) throw tooDeep();
}

function tooDeep(cause?: unknown): Problem {
  return new Problem("too-deep", `The body is nested more than ${MAX_DEPTH} levels deep.`, {
    cause,
  });
}

type Found = { readonly duplicates: FieldError[]; readonly forbidden: FieldError[] };

/** More of them help nobody, and to find the place of each costs a walk through its siblings. */
const MAX_FOUND = 100;

function inspect(document: ReturnType<typeof parseDocument>): Found {
  const found: Found = { duplicates: [], forbidden: [] };
  visit(document, {
    Alias: (_key, _node, path) =>
      note(found.forbidden, path, "YAML aliases are not taken; write the value out"),
    Node: (_key, node, path) => {
      if (node.tag?.startsWith("tag:yaml.org,2002:") === false || explicitTag(node)) {
        note(found.forbidden, path, "YAML tags are not taken");
      }
    },
    Map: (_key, map, path) => {
      const seen = new Set<string>();
      const at = [...path, map];
      for (const { key } of map.items) {
        // The parser would write a map or a list out as a text, each level twice as long.
        if (!isScalar(key)) {
          note(found.forbidden, at, "a key must be a plain text");
          continue;
        }
        const name = String(key.value);
        if (seen.has(name)) note(found.duplicates, at, `the key "${name}" stands here twice`, name);
        if (name === "__proto__") note(found.forbidden, at, "this key is not taken", name);
        seen.add(name);
      }
    },
  });
  return found;
}

function explicitTag(node: unknown): boolean {
  const source = (node as { srcToken?: unknown; tag?: string }).tag;
  return (
    source !== undefined && !/^tag:yaml\.org,2002:(map|seq|str|int|float|bool|null)$/.test(source)
  );
}

function note(
  list: FieldError[],
  path: readonly unknown[],
  message: string,
  ...key: readonly string[]
): void {
  if (list.length < MAX_FOUND) list.push({ pointer: pointerOf(path) + jsonPointer(key), message });
}

/** The pointer of the last node in a visitor's path of ancestors. */
function pointerOf(path: readonly unknown[]): string {
  const keys: PropertyKey[] = [];
  for (let at = 0; at < path.length; at++) {
    const node = path[at];
    const next = path[at + 1];
    if (isPair(node) && isScalar(node.key)) keys.push(String(node.key.value));
    else if (isSeq(node) && next !== undefined) keys.push(node.items.indexOf(next));
    else if (isMap(node)) continue;
  }
  return jsonPointer(keys);
}

function oneLine(text: string): string {
  return text.split("\n", 1)[0] ?? "";
}
