import type { webcrypto } from "node:crypto";
import { expect, test } from "vitest";
import { openSealed, sealTo } from "../../kit/sealed-box.ts";

async function aKeyPair() {
  const pair = await crypto.subtle.generateKey("X25519", true, ["deriveBits"]);
  const { privateKey, publicKey } = pair as webcrypto.CryptoKeyPair;
  return { privateKey, publicKey: new Uint8Array(await crypto.subtle.exportKey("raw", publicKey)) };
}

const PLAIN = new TextEncoder().encode("hunter2");

test("what is sealed to a key opens with it, under the name that it was sealed for", async () => {
  const pair = await aKeyPair();

  const box = await sealTo(pair.publicKey, PLAIN, "default/db.v1");

  expect(await openSealed(pair, box, "default/db.v1")).toEqual(PLAIN);
});

test("the same bytes make another box each time, and none shows them", async () => {
  const { publicKey } = await aKeyPair();

  const one = Buffer.from(await sealTo(publicKey, PLAIN, "a"));
  const two = Buffer.from(await sealTo(publicKey, PLAIN, "a"));

  expect(one.equals(two)).toBe(false);
  expect(one.includes("hunter2")).toBe(false);
});

test("another key, another name, a changed byte and half a box do not open", async () => {
  const pair = await aKeyPair();
  const box = await sealTo(pair.publicKey, PLAIN, "default/db.v1");
  const changed = [0, 40, box.length - 1].map((at) =>
    box.map((byte, index) => (index === at ? byte ^ 1 : byte)),
  );

  await expect(openSealed(await aKeyPair(), box, "default/db.v1")).rejects.toThrow();
  await expect(openSealed(pair, box, "default/db.v2")).rejects.toThrow();
  for (const other of [...changed, box.slice(0, 50), box.slice(0, 10), new Uint8Array()]) {
    await expect(openSealed(pair, other, "default/db.v1")).rejects.toThrow();
  }
});
