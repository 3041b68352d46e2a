import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { formatToken, makeToken, parseToken } from "../../contract/token.ts";

const KINDS = ["personal", "service", "node", "join"] as const;

test("a token is one word of 52 characters that says its kind, and reads back as what it was", () => {
  for (const kind of KINDS) {
    const { text, ...parts } = makeToken(kind, randomBytes);

    expect(text).toMatch(new RegExp(`^wb${kind[0]}_[0-9A-Za-z]{48}$`));
    expect(parseToken(text)).toEqual(parts);
  }
});

test("a token with any one character changed is recognised as mistyped", () => {
  const { text } = makeToken("personal", randomBytes);
  const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".split("");
  const places = fc.integer({ min: 4, max: text.length - 1 });

  fc.assert(
    fc.property(places, fc.constantFrom(...letters), (at, letter) => {
      fc.pre(text[at] !== letter);
      expect(parseToken(text.slice(0, at) + letter + text.slice(at + 1))).toBeUndefined();
    }),
  );
});

test("nothing else is a token", () => {
  const { text } = makeToken("personal", randomBytes);

  for (const other of [
    "",
    "wbp_",
    `${text} `,
    ` ${text}`,
    `${text}\n`,
    text.replace("wbp", "wbx"),
  ]) {
    expect(parseToken(other)).toBeUndefined();
  }
  fc.assert(fc.property(fc.string(), (noise) => parseToken(noise) === undefined));
});

test("the checksum is the one that it always was", () => {
  const parts = { kind: "personal", id: "0123456789", secret: "a".repeat(32) } as const;

  expect(formatToken(parts)).toBe(`wbp_0123456789${"a".repeat(32)}2409L2`);
});
