import type { SealedContent, SecretPlace, WrappedKey } from "../../db/materials/secrets.ts";
import { hexOf } from "../deps.ts";

/*
 * Secrets at rest: each version has an AES-256 key of its own, wrapped by a key of the installation
 * that PostgreSQL never sees. Both ciphertexts are bound to their place, so that a row that is moved
 * under another name does not open. WebCrypto alone, for an edge runtime as for Node.js.
 *
 *   sealed, wrappedKey = nonce (12) || ciphertext and tag      bound to v1|<project>|<name>|<version>
 *   wrapping key, marking key = HKDF-SHA256(the key in the file, "waybill secrets: wrap" | ": mark")
 */

const NONCE_BYTES = 12;
const KEY_BYTES = 32;
/** 32 bits are enough to see that a content is another, and too few to learn anything from. */
const MARK_CHARS = 8;
const CHECK = "waybill sealing key";

/** One line of the key file. */
export type MasterKey = { readonly kid: string; readonly bytes: Uint8Array<ArrayBuffer> };

export type Keyring = {
  /** In the order of the file: the first one seals. */
  readonly kids: readonly string[];
  /** Seals with the first key of the file. */
  seal(place: SecretPlace, content: Uint8Array<ArrayBuffer>): Promise<SealedContent>;
  /** Throws when the content is not of this place, was changed, or needs a key that is not there. */
  open(place: SecretPlace, content: SealedContent): Promise<Uint8Array>;
  /** The same content under the first key of the file; only the wrapping is another. */
  rewrap(place: SecretPlace, wrapped: WrappedKey): Promise<WrappedKey>;
  /** Equal for equal contents of one secret, and nothing that anybody without the key can make. */
  mark(secret: Omit<SecretPlace, "version">, content: Uint8Array): Promise<string>;
  /** What only this key opens. */
  makeCheck(kid: string): Promise<Uint8Array>;
  opensCheck(kid: string, check: Uint8Array): Promise<boolean>;
};

type SubtleKey = Awaited<ReturnType<typeof crypto.subtle.deriveKey>>;
type Keys = { readonly wrap: SubtleKey; readonly mark: SubtleKey };

/** A keyring of at least one key. */
export async function openKeyring(masters: readonly [MasterKey, ...MasterKey[]]): Promise<Keyring> {
  const entries = masters.map(async ({ kid, bytes }) => [kid, await derive(bytes)] as const);
  const keys = new Map(await Promise.all(entries));
  const [{ kid: current }] = masters;
  const keyOf = (kid: string): Keys => {
    const found = keys.get(kid);
    if (!found) throw new Error(`there is no sealing key "${kid}"`);
    return found;
  };
  return {
    kids: [...keys.keys()],
    seal: (place, content) => seal(current, keyOf(current), place, content),
    open: async (place, content) => await open(keyOf(content.kid), place, content),
    rewrap: async (place, { kid, wrappedKey }) => {
      const bound = boundTo(place);
      const own = await decrypt(keyOf(kid).wrap, wrappedKey, bound);
      return { kid: current, wrappedKey: await encrypt(keyOf(current).wrap, own, bound) };
    },
    mark: async (secret, content) => {
      const text = encoded(`${secret.projectId}|${secret.name}|`);
      const hash = await crypto.subtle.sign("HMAC", keyOf(current).mark, joined(text, content));
      return hexOf(new Uint8Array(hash)).slice(0, MARK_CHARS);
    },
    makeCheck: (kid) => encrypt(keyOf(kid).wrap, encoded(CHECK), `check|${kid}`),
    opensCheck: async (kid, check) => {
      try {
        await decrypt(keyOf(kid).wrap, check, `check|${kid}`);
        return true;
      } catch (error) {
        if (error instanceof DOMException) return false; // another key's, or changed
        throw error;
      }
    },
  };
}

async function seal(
  kid: string,
  keys: Keys,
  place: SecretPlace,
  content: Uint8Array<ArrayBuffer>,
): Promise<SealedContent> {
  const own = crypto.getRandomValues(new Uint8Array(KEY_BYTES));
  const bound = boundTo(place);
  const [wrappedKey, sealed] = await Promise.all([
    encrypt(keys.wrap, own, bound),
    encrypt(await aesKey(own), content, bound),
  ]);
  return { kid, wrappedKey, sealed };
}

async function open(
  keys: Keys,
  place: SecretPlace,
  { wrappedKey, sealed }: SealedContent,
): Promise<Uint8Array> {
  const bound = boundTo(place);
  const own = await decrypt(keys.wrap, wrappedKey, bound);
  return await decrypt(await aesKey(own), sealed, bound);
}

function boundTo({ projectId, name, version }: SecretPlace): string {
  return `v1|${projectId}|${name}|${version}`;
}

async function derive(master: Uint8Array<ArrayBuffer>): Promise<Keys> {
  const key = await crypto.subtle.importKey("raw", master, "HKDF", false, ["deriveKey"]);
  const hkdf = (use: string) => ({
    name: "HKDF",
    hash: "SHA-256",
    salt: new Uint8Array(),
    info: encoded(`waybill secrets: ${use}`),
  });
  const aes = { name: "AES-GCM", length: 256 };
  const hmac = { name: "HMAC", hash: "SHA-256", length: 256 };
  return {
    wrap: await crypto.subtle.deriveKey(hkdf("wrap"), key, aes, false, ["encrypt", "decrypt"]),
    mark: await crypto.subtle.deriveKey(hkdf("mark"), key, hmac, false, ["sign"]),
  };
}

function aesKey(bytes: Uint8Array<ArrayBuffer>): Promise<SubtleKey> {
  return crypto.subtle.importKey("raw", bytes, "AES-GCM", false, ["encrypt", "decrypt"]);
}

async function encrypt(
  key: SubtleKey,
  plain: Uint8Array<ArrayBuffer>,
  bound: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const iv = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
  const gcm = { name: "AES-GCM", iv, additionalData: encoded(bound) };
  return joined(iv, new Uint8Array(await crypto.subtle.encrypt(gcm, key, plain)));
}

async function decrypt(
  key: SubtleKey,
  sealed: Uint8Array,
  bound: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const iv = sealed.slice(0, NONCE_BYTES);
  const gcm = { name: "AES-GCM", iv, additionalData: encoded(bound) };
  return new Uint8Array(await crypto.subtle.decrypt(gcm, key, sealed.slice(NONCE_BYTES)));
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

function encoded(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}
