import { toBase64 } from "../../contract/base64.ts";
import { type SecretMaterial, versionedName } from "../../contract/material/material.ts";
import { Problem } from "../../contract/problem.ts";
import type { WantedSecret } from "../../db/nodes/desired-materials.ts";
import { causeChain } from "../../kit/log.ts";
import { sealTo } from "../../kit/sealed-box.ts";
import type { ApiDeps } from "../deps.ts";
import type { Keyring } from "./sealing.ts";

/**
 * Each of these secrets sealed to the node's key. A node that has told no key gets none, and one that
 * cannot be opened is left out: its pods wait, and the agent says for what. Where this process lacks a
 * key this throws, so that the node keeps the wish that it has.
 */
export async function sealForNode(
  deps: Pick<ApiDeps, "secrets" | "log">,
  publicKey: Uint8Array | null,
  wanted: readonly WantedSecret[],
): Promise<SecretMaterial[]> {
  if (publicKey === null || wanted.length === 0) return [];
  const keyring = await deps.secrets.keyring();
  const sealed = wanted.map(async (secret): Promise<SecretMaterial[]> => {
    const name = versionedName(secret.name, secret.version);
    try {
      const box = await boxOf({ deps, keyring, publicKey }, secret, name);
      return [{ project: secret.project, name, sealed: box }];
    } catch (error) {
      if (!(error instanceof UnreadableSecret)) throw error;
      const causes = causeChain(error);
      deps.log.warn("a secret cannot be read", { project: secret.project, name, causes });
      return [];
    }
  });
  return (await Promise.all(sealed)).flat();
}

/** Its row was changed or moved: what is in it is nobody's word. */
class UnreadableSecret extends Error {}

type Sealer = {
  readonly deps: Pick<ApiDeps, "secrets">;
  readonly keyring: Keyring;
  readonly publicKey: Uint8Array;
};

async function boxOf(
  { deps, keyring, publicKey }: Sealer,
  secret: WantedSecret,
  name: string,
): Promise<string> {
  const { boxes } = deps.secrets;
  const key = [toBase64(publicKey), secret.projectId, name, toBase64(secret.wrappedKey)].join("|");
  const held = boxes.get(key);
  if (held !== undefined) return held;
  if (!keyring.kids.includes(secret.kid)) {
    const detail = "A key that this node's secrets need is not in the key file of this api.";
    throw new Problem("secrets-unavailable", detail);
  }
  const plain = await keyring.open(secret, secret).catch((cause: unknown) => {
    throw new UnreadableSecret(`opening the secret ${name}`, { cause });
  });
  const box = toBase64(await sealTo(publicKey, plain, `${secret.project}/${name}`));
  boxes.put(key, box);
  return box;
}
