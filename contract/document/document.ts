import { isMap, isPair, isScalar, isSeq, parseDocument, visit } from "yaml";
import { type FieldError, Problem } from "../problem.ts";
import { findKeys } from "./json-keys.ts";

/** Deeper than any honest document; checked before anything recursive reads the text. */
const MAX_DEPTH = 64;

export type Syntax = "json" | "yaml";

/**
 * A JSON or YAML text as plain values. Refuses, with a Problem, what other parsers let pass: nesting
 * beyond 64, the same key twice, `__proto__`, YAML tags, anchors and aliases, more than one document.
 */
export function parseDocumentText(text: string, syntax: Syntax): unknown {
  refuseTooDeep(text, syntax);
  return syntax === "json" ? readJson(text) : readYaml(text);
}

/** One RFC 6901 pointer for a path of keys and indexes. */
export function jsonPointer(path: readonly PropertyKey[]): string {
  return path.map((key) => `/${String(key).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

function readJson(text: string): unknown {
  const value = parseJson(text);
  const { twice, proto } = findKeys(text, MAX_FOUND);
  refuseFound({
    duplicates: twice.map((path) => keyTwice(jsonPointer(path), String(path.at(-1)))),
    forbidden: proto.map((path) => keyNotTaken(jsonPointer(path))),
  });
  return value;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw notReadable("JSON", error.message, error);
  }
}

function readYaml(text: string): unknown {
  const document = parseYaml(text);
  const [first] = document.errors;
  if (first) throw notReadable("YAML", first.message);
  refuseFound(inspect(document));
  return document.toJS({ maxAliasCount: 0 });
}

function parseYaml(text: string): ReturnType<typeof parseDocument> {
  try {
    return parseDocument(text, {
      schema: "core",
      uniqueKeys: false,
      prettyErrors: false,
      merge: false,
    });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw tooDeep(error);
  }
}

function notReadable(syntax: string, message: string, cause?: unknown): Problem {
  const [line] = message.split("\n", 1);
  return new Problem("body-invalid", `The body is not ${syntax}: ${line}`, { cause });
}

function refuseFound({ duplicates, forbidden }: Found): void {
  if (duplicates.length > 0) {
    const detail = "The same key stands twice in one object, so it is not clear which one counts.";
    throw new Problem("duplicate-key", detail, { extras: { errors: duplicates } });
  }
  if (forbidden.length > 0) {
    const extras = { errors: forbidden };
    throw new Problem("body-invalid", "The body uses what is not taken here.", { extras });
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

type Found = {
  readonly duplicates: readonly FieldError[];
  readonly forbidden: readonly FieldError[];
};

/** More of them help nobody, and to find the place of each costs a walk through its siblings. */
const MAX_FOUND = 100;

function inspect(document: ReturnType<typeof parseDocument>): Found {
  const duplicates: FieldError[] = [];
  const forbidden: FieldError[] = [];
  const forbid = (path: readonly unknown[], message: string) =>
    note(forbidden, () => ({ pointer: pointerOf(path), message }));
  visit(document, {
    Alias: (_key, _node, path) => forbid(path, "YAML aliases are not taken; write the value out"),
    Node: (_key, node, path) => {
      if (node.tag?.startsWith("tag:yaml.org,2002:") === false || explicitTag(node)) {
        forbid(path, "YAML tags are not taken");
      }
    },
    Map: (_key, map, path) => {
      const seen = new Set<string>();
      const at = [...path, map];
      for (const { key } of map.items) {
        // The parser would write a map or a list out as a text, each level twice as long.
        if (!isScalar(key)) {
          forbid(at, "a key must be a plain text");
          continue;
        }
        const name = String(key.value);
        const pointer = () => pointerOf(at) + jsonPointer([name]);
        if (seen.has(name)) note(duplicates, () => keyTwice(pointer(), name));
        if (name === "__proto__") note(forbidden, () => keyNotTaken(pointer()));
        seen.add(name);
      }
    },
  });
  return { duplicates, forbidden };
}

function keyTwice(pointer: string, name: string): FieldError {
  return { pointer, message: `the key "${name}" stands here twice` };
}

function keyNotTaken(pointer: string): FieldError {
  return { pointer, message: "this key is not taken" };
}

function explicitTag(node: unknown): boolean {
  const source = (node as { srcToken?: unknown; tag?: string }).tag;
  return (
    source !== undefined && !/^tag:yaml\.org,2002:(map|seq|str|int|float|bool|null)$/.test(source)
  );
}

function note(list: FieldError[], error: () => FieldError): void {
  if (list.length < MAX_FOUND) list.push(error());
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
