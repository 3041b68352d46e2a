import type { webcrypto } from "node:crypto";
import { JoinAnswer } from "../../contract/node/protocol.ts";
import { aToken, type TestApi } from "./api.ts";

export type NodeKey = {
  readonly privateKey: webcrypto.CryptoKey;
  readonly publicKey: Uint8Array;
};

/** A pair of keys as a node makes itself. */
export async function aNodeKey(): Promise<NodeKey> {
  const pair = await crypto.subtle.generateKey("X25519", true, ["deriveBits"]);
  const { privateKey, publicKey } = pair as webcrypto.CryptoKeyPair;
  return { privateKey, publicKey: new Uint8Array(await crypto.subtle.exportKey("raw", publicKey)) };
}

/** A node joins, as an agent does: its id, and a token that works. */
export async function joined(
  api: TestApi,
  name = "local",
  publicKey: Uint8Array = new Uint8Array(32).fill(9),
): Promise<JoinAnswer> {
  const token = await aToken(api.db, { kind: "join", project: api.project, node: name });
  const json = { version: "1", publicKey: Buffer.from(publicKey).toString("base64") };
  const answer = await api.ask("/v1/node/join", { method: "POST", json, token });
  return JoinAnswer.parse(answer.body);
}
