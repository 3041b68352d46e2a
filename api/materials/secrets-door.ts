import { fromBase64 } from "../../contract/base64.ts";
import { Problem } from "../../contract/problem.ts";
import type { Db } from "../../db/client.ts";
import { databaseUnavailable } from "../../db/errors.ts";
import { type KnownKeys, knownKeys, rememberKeys } from "../../db/materials/secrets.ts";
import { type BoxCache, boxCache } from "./box-cache.ts";
import { type Keyring, type MasterKey, openKeyring } from "./sealing.ts";

/** The way to secrets: what seals and opens them at rest, and what is sealed already for nodes. */
export type SecretsDoor = {
  /**
   * Checks the keys against the database. Throws when a secret could not be read with them, and then
   * nothing was written; undefined when there is no key and no secret either.
   */
  unlock(): Promise<Keyring | undefined>;
  /** The keyring, or a Problem for whoever asked for a secret. */
  keyring(): Promise<Keyring>;
  readonly boxes: BoxCache;
};

/** `keyFile` is the text of the key file; undefined where there is none. Nothing is looked at yet. */
export function secretsDoor(db: Db, keyFile: string | undefined): SecretsDoor {
  let opened: Promise<Keyring | undefined> | undefined;
  const unlock = () => {
    opened ??= unlockKeyring(db, keyFile).catch((error: unknown) => {
      opened = undefined;
      throw error;
    });
    return opened;
  };
  return { unlock, keyring: () => keyringOrProblem(unlock), boxes: boxCache() };
}

/** A mistake in the key file, or keys that do not fit this database; the message says what to do. */
export class SealingKeyError extends Error {}

const LINE = /^([A-Za-z0-9][-._A-Za-z0-9]{0,63}):([A-Za-z0-9+/]{43}=)$/;

/** One `<kid>:<base64 of 32 bytes>` a line, the one that seals first; empty lines and # comments apart. */
export function parseKeyFile(text: string): readonly MasterKey[] {
  const lines = text.split("\n").map((line) => line.trim());
  const keys = lines.flatMap((line, at) => {
    if (line === "" || line.startsWith("#")) return [];
    const [, kid, base64] = LINE.exec(line) ?? [];
    if (kid !== undefined && base64 !== undefined) return [{ kid, bytes: fromBase64(base64) }];
    const wanted = "must be a key's name, a colon and the base64 of 32 bytes";
    throw new SealingKeyError(`Line ${at + 1} of the key file for secrets ${wanted}.`);
  });
  const twice = keys.find(({ kid }, at) => keys.findIndex((it) => it.kid === kid) !== at);
  if (twice) throw new SealingKeyError(`The key file for secrets names "${twice.kid}" twice.`);
  return keys;
}

async function unlockKeyring(db: Db, keyFile: string | undefined): Promise<Keyring | undefined> {
  const [first, ...others] = keyFile === undefined ? [] : parseKeyFile(keyFile);
  const keyring = first && (await openKeyring([first, ...others]));
  const known = await knownKeys(db);
  await refuseUnreadable(known, keyring);
  if (!keyring) return undefined;
  const fresh = keyring.kids.filter((kid) => !known.checks.has(kid));
  if (fresh.length === 0) return keyring;
  const checks = fresh.map(async (kid) => ({ kid, check: await keyring.makeCheck(kid) }));
  await rememberKeys(db, await Promise.all(checks));
  // Another process may have been first, with another key of the same name.
  await refuseUnreadable(await knownKeys(db), keyring);
  return keyring;
}

async function refuseUnreadable(known: KnownKeys, keyring: Keyring | undefined): Promise<void> {
  const given = new Set(keyring?.kids);
  const missing = [...known.used].filter((kid) => !given.has(kid)).sort();
  if (missing.length > 0) {
    throw new SealingKeyError(
      `Secrets are sealed with the key ${missing.map((it) => `"${it}"`).join(" and ")}, and ` +
        "WAYBILL_SECRETS_KEY_FILE has none of that name. Put the key file back, or add the lost line to " +
        "it. Nothing was changed. If the key is lost for good, these secrets cannot be read again: " +
        "delete their rows from the table secrets, start, and apply them anew.",
    );
  }
  for (const kid of keyring?.kids ?? []) {
    const check = known.checks.get(kid);
    if (!keyring || check === undefined || (await keyring.opensCheck(kid, check))) continue;
    throw new SealingKeyError(
      `The key "${kid}" in WAYBILL_SECRETS_KEY_FILE is not the one that this database knows by that ` +
        "name. Put the right key file back; a new key needs a name of its own. Nothing was changed.",
    );
  }
}

async function keyringOrProblem(unlock: SecretsDoor["unlock"]): Promise<Keyring> {
  const keyring = await unlock().catch((error: unknown) => {
    if (databaseUnavailable(error)) throw error;
    const detail = "The installation's key for secrets does not fit; the api's log says more.";
    throw new Problem("secrets-unavailable", detail, { cause: error });
  });
  if (keyring) return keyring;
  const detail = "This installation has no key for secrets; set WAYBILL_SECRETS_KEY_FILE.";
  throw new Problem("secrets-unavailable", detail);
}
