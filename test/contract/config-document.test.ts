import { expect, test } from "vitest";
import { fieldErrors } from "../../contract/document/mistakes.ts";
import {
  ConfigMapDocument,
  materialSchema,
  SecretDocument,
} from "../../contract/material/config-document.ts";
import { MAX_MATERIAL_BYTES } from "../../contract/material/material.ts";

const configMap = (more: object = {}) => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name: "web" },
  ...more,
});
const secret = (more: object = {}) => ({ ...configMap(more), kind: "Secret" });
const base64 = (text: string) => Buffer.from(text).toString("base64");

const mistakes = (document: object) => {
  const schema = materialSchema(document);
  const read = schema?.safeParse(document);
  return schema && read && !read.success
    ? fieldErrors(read.error, schema).map(({ pointer, message }) => `${pointer}: ${message}`)
    : [];
};

test("a config map holds texts and bytes by key", () => {
  const read = ConfigMapDocument.parse(
    configMap({ data: { "b.conf": "two", a: "" }, binaryData: { logo: base64("\x00\xff") } }),
  );

  expect(read).toEqual({
    kind: "ConfigMap",
    name: "web",
    data: { a: "", "b.conf": "two" },
    binary: { logo: base64("\x00\xff") },
  });
});

test("a secret holds bytes by key, and a text of stringData wins, as in Kubernetes", () => {
  const read = SecretDocument.parse(
    secret({
      type: "kubernetes.io/tls",
      data: { "tls.key": base64("old"), pin: base64("1234") },
      stringData: { "tls.key": "nü" },
    }),
  );

  expect(read.values).toEqual({ pin: base64("1234"), "tls.key": base64("nü") });
});

test("what would promise that a name never changes is refused by its name", () => {
  expect(mistakes(secret({ immutable: true }))).toEqual([
    "/immutable: not taken: a release keeps the version that it was made with; leave it out",
  ]);
  expect(mistakes(secret({ immutable: false }))).toEqual([]);
});

test("the same bytes are the same text, however their base64 was written", () => {
  const broken = SecretDocument.parse(secret({ data: { a: "aGVs\nbG8=\n" } }));
  const loose = SecretDocument.parse(secret({ data: { a: "aGVsbG9=" } }));

  expect(broken.values).toEqual({ a: "aGVsbG8=" });
  expect(loose.values).toEqual(broken.values);
});

test("every mistake is named at once, by its place, and no value is repeated", () => {
  const found = mistakes(
    secret({
      apiVersion: "v2",
      metadata: { name: "Web", annotations: {}, namespace: "prod" },
      type: "mine",
      data: { "../up": "aGk=", raw: "hunter2!" },
      stringData: { "a b": "x", pin: 1234 },
      strngData: {},
    }),
  );

  expect(found.map((it) => it.split(":")[0]).sort()).toEqual([
    "/apiVersion",
    "/data/..~1up",
    "/data/raw",
    "/metadata/annotations",
    "/metadata/name",
    "/metadata/namespace",
    "/stringData/a b",
    "/stringData/pin",
    "/strngData",
    "/type",
  ]);
  expect(found).toContain('/strngData: unknown field; did you mean "stringData"?');
  expect(found).toContain("/data/..~1up: must be letters, digits, -, _ and .");
  expect(found.join("\n")).not.toMatch(/hunter2|1234/);
});

test("a key of a config map stands in one place", () => {
  expect(mistakes(configMap({ data: { a: "x" }, binaryData: { a: "aGk=" } }))).toEqual([
    "/binaryData/a: stands under data as well",
  ]);
});

test("a mebibyte is taken, keys counted, and not a byte more", () => {
  const most = "x".repeat(MAX_MATERIAL_BYTES - 1);
  const bytes = Buffer.alloc(MAX_MATERIAL_BYTES - 1).toString("base64");

  expect(mistakes(configMap({ data: { a: most } }))).toEqual([]);
  expect(mistakes(secret({ data: { a: bytes } }))).toEqual([]);
  expect(mistakes(configMap({ data: { ab: most } }))).toHaveLength(1);
  expect(mistakes(secret({ data: { ab: bytes } }))).toHaveLength(1);
  expect(mistakes(secret({ stringData: { a: `ü${most.slice(1)}` } }))).toHaveLength(1);
});

test("a document of another kind is nobody's here", () => {
  for (const other of [null, 7, "x", {}, { kind: "Pod" }, { kind: 1 }, { kind: "constructor" }]) {
    expect(materialSchema(other)).toBeUndefined();
  }
});
