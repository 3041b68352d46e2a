import { rename } from "node:fs/promises";
import { z } from "zod";
import { readIfThere, writeDurably } from "../disk/durable-file.ts";
import { readJson } from "../disk/read-json.ts";

/** The node's X25519 key pair, as kit/sealed-box.ts opens boxes with it; `publicKey` is raw, 32 bytes. */
export type NodeKey = Awaited<ReturnType<typeof imported>>;

const Jwk = z.strictObject({
  kty: z.literal("OKP"),
  crv: z.literal("X25519"),
  d: z.string(),
  x: z.string(),
});

/**
 * The key pair in this file, which only root may read, or a new one that is put there: secrets are
 * sealed for it, and its private half never leaves the node. A file that cannot be read is set aside,
 * and `onBroken` told: the node has to join again for its new key to be known.
 */
export async function openNodeKey(
  path: string,
  onBroken: (setAside: string, error: unknown) => void,
): Promise<NodeKey> {
  const text = await readIfThere(path);
  if (text !== undefined) {
    try {
      const { value, problem } = readJson(Jwk, text);
      if (!value) throw new Error(`the key ${problem}`);
      return await imported(value);
    } catch (error) {
      const setAside = `${path}.broken`;
      await rename(path, setAside);
      onBroken(setAside, error);
    }
  }
  const fresh = await generated();
  await writeDurably(path, JSON.stringify(fresh));
  return imported(fresh);
}

async function generated(): Promise<z.infer<typeof Jwk>> {
  const pair = await crypto.subtle.generateKey("X25519", true, ["deriveBits"]);
  if (!("privateKey" in pair)) throw new Error("X25519 gave no pair of keys");
  const { kty, crv, d, x } = await crypto.subtle.exportKey("jwk", pair.privateKey);
  return Jwk.parse({ kty, crv, d, x });
}

async function imported(jwk: z.infer<typeof Jwk>) {
  const algorithm = { name: "X25519" };
  const privateKey = await crypto.subtle.importKey("jwk", jwk, algorithm, false, ["deriveBits"]);
  return { privateKey, publicKey: new Uint8Array(Buffer.from(jwk.x, "base64url")) };
}
