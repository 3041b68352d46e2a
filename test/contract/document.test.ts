import { expect, test } from "vitest";
import { parseDocumentText } from "../../contract/document/document.ts";
import { Problem } from "../../contract/problem.ts";

function refusal(text: string, syntax: "json" | "yaml"): Problem {
  try {
    parseDocumentText(text, syntax);
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
  throw new Error("the text was taken");
}

test("JSON and YAML of the same document are the same values", () => {
  const value = { name: "shop", replicas: 2, env: { A: "1", B: "[[[{{{" } };

  expect(parseDocumentText(JSON.stringify(value), "json")).toEqual(value);
  expect(
    parseDocumentText('name: shop\nreplicas: 2\nenv: { A: "1", B: "[[[{{{" }\n', "yaml"),
  ).toEqual(value);
});

test("every key that stands twice is named with its pointer", () => {
  const { slug, extras } = refusal('{"a":1,"a":2,"list":[{"c":1,"c":2}]}', "json");

  expect(slug).toBe("duplicate-key");
  expect(extras.errors?.map((it) => it.pointer)).toEqual(["/a", "/list/0/c"]);
});

test("a key is the same however JSON writes it, and quotes within texts end nothing", () => {
  const value = { 'a"{': ['"}', { "}": "\\\\" }], a: [], b: { a: 1 } };

  expect(parseDocumentText(JSON.stringify(value), "json")).toEqual(value);
  expect(
    refusal('[0,{"b":{"a":"\\"","\\u0061":[],"x/y":1,"x/y":1}}]', "json").extras.errors,
  ).toEqual([
    { pointer: "/1/b/a", message: 'the key "a" stands here twice' },
    { pointer: "/1/b/x~1y", message: 'the key "x/y" stands here twice' },
  ]);
  expect(refusal('{"env":{"\\u005f_proto__":1}}', "json").extras.errors).toEqual([
    { pointer: "/env/__proto__", message: "this key is not taken" },
  ]);
});

test.each([
  ["[".repeat(5_000), "json"],
  [`${'{"a":'.repeat(200_000)}1${"}".repeat(200_000)}`, "json"],
  ["[".repeat(5_000), "yaml"],
  [`${"- ".repeat(5_000)}x`, "yaml"],
  [Array.from({ length: 600 }, (_, at) => `${" ".repeat(at)}a:`).join("\n"), "yaml"],
] as const)(
  "a document nested too deeply is refused before anything recursive reads it",
  (text, syntax) => {
    expect(refusal(text, syntax).slug).toBe("too-deep");
  },
);

test("keys within keys cost no more than their letters", () => {
  const { slug, extras } = refusal(`${"- ? ".repeat(60)}x`, "yaml");

  expect(slug).toBe("body-invalid");
  expect(extras.errors).toContainEqual({ pointer: "/0", message: "a key must be a plain text" });
});

test("of very many mistakes of one kind the first hundred are named", () => {
  const { extras } = refusal(`[${Array(5_000).fill('{"a":1,"a":2}').join()}]`, "json");

  expect(extras.errors).toHaveLength(100);
  expect(extras.errors?.at(-1)?.pointer).toBe("/99/a");
});

test.each([
  ["a: &x 1\nb: *x", "yaml"],
  ["a: !!js/function x", "yaml"],
  ["a: !!binary aGk=", "yaml"],
  ["a: 1\n---\nb: 2", "yaml"],
  ["__proto__: { admin: true }", "yaml"],
  ['{"__proto__": {"admin": true}}', "json"],
  ['{"a": 1,}', "json"],
  ["{a: 1}", "json"],
  ["", "json"],
  ["a: [1", "yaml"],
] as const)("%j is refused as %s", (text, syntax) => {
  expect(refusal(text, syntax).slug).toBe("body-invalid");
});
