import type { webcrypto } from "node:crypto";

/*
 * Bytes that only the holder of one X25519 private key can read: an ephemeral key agreement, HKDF and
 * AES-256-GCM, all of WebCrypto, so that it runs in Node.js and on an edge runtime alike.
 *
 *   box = ephemeral public key (32) || nonce (12) || ciphertext and tag
 *   key = HKDF-SHA256(X25519(ephemeral, recipient), salt = ephemeral || recipient, "waybill sealed box v1")
 *
 * `bound` is authenticated with it: a box that is moved under another name does not open.
 */

const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const INFO = new TextEncoder().encode("waybill sealed box v1");

export async function sealTo(
  publicKey: Uint8Array,
  plain: Uint8Array,
  bound: string,
): Promise<Uint8Array> {
  const recipient = await crypto.subtle.importKey("raw", own(publicKey), "X25519", false, []);
  const pair = (await crypto.subtle.generateKey("X25519", true, [
    "deriveBits",
  ])) as webcrypto.CryptoKeyPair;
  const ephemeral = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
  const key = await boxKey(pair.privateKey, recipient, ephemeral, publicKey, "encrypt");
  const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
  const cipher = await crypto.subtle.encrypt(gcm(nonce, bound), key, own(plain));
  return joined([ephemeral, nonce, new Uint8Array(cipher)]);
}

/** Throws when the box is not for this key, was changed, or was bound to another name. */
export async function openSealed(
  pair: { readonly privateKey: webcrypto.CryptoKey; readonly publicKey: Uint8Array },
  box: Uint8Array,
  bound: string,
): Promise<Uint8Array> {
  const ephemeral = box.slice(0, KEY_BYTES);
  const nonce = box.slice(KEY_BYTES, KEY_BYTES + NONCE_BYTES);
  const sender = await crypto.subtle.importKey("raw", ephemeral, "X25519", false, []);
  const key = await boxKey(pair.privateKey, sender, ephemeral, pair.publicKey, "decrypt");
  const cipher = box.slice(KEY_BYTES + NONCE_BYTES);
  return new Uint8Array(await crypto.subtle.decrypt(gcm(nonce, bound), key, cipher));
}

async function boxKey(
  mine: webcrypto.CryptoKey,
  theirs: webcrypto.CryptoKey,
  ephemeral: Uint8Array,
  recipient: Uint8Array,
  use: "encrypt" | "decrypt",
): Promise<webcrypto.CryptoKey> {
  const shared = await crypto.subtle.deriveBits({ name: "X25519", public: theirs }, mine, 256);
  const material = await crypto.subtle.importKey("raw", shared, "HKDF", false, ["deriveKey"]);
  const salt = joined([ephemeral, recipient]);
  const hkdf = { name: "HKDF", hash: "SHA-256", salt, info: INFO };
  return await crypto.subtle.deriveKey(hkdf, material, { name: "AES-GCM", length: 256 }, false, [
    use,
  ]);
}

function gcm(iv: Uint8Array<ArrayBuffer>, bound: string) {
  return { name: "AES-GCM", iv, additionalData: new TextEncoder().encode(bound) };
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** WebCrypto takes only bytes of an ArrayBuffer of their own. */
function own(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(bytes);
}
