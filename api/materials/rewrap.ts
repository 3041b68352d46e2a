import { replaceWrapping, type SecretPlace, wrappedByOthers } from "../../db/materials/secrets.ts";
import type { ApiDeps } from "../deps.ts";

const BATCH = 100;

/**
 * Brings the key of every secret under the first key of the key file, so that the older lines may go.
 * Each row is a change of its own, and whoever stops in between goes on later: until then its old key
 * opens it. Contents stay as they are, and so does a row that cannot be opened.
 */
export async function rewrapSecrets(
  { db, secrets, log }: Pick<ApiDeps, "db" | "secrets" | "log">,
  signal: AbortSignal,
): Promise<void> {
  const keyring = await secrets.unlock();
  const [first] = keyring?.kids ?? [];
  if (keyring === undefined || first === undefined) return;
  let after: SecretPlace | undefined;
  let rewrapped = 0;
  while (!signal.aborted) {
    const rows = await wrappedByOthers(db, first, { after, limit: BATCH });
    for (const row of rows) {
      try {
        await replaceWrapping(db, row, row, await keyring.rewrap(row, row));
        rewrapped++;
      } catch (error) {
        if (!(error instanceof DOMException)) throw error; // its row was changed or moved
        log.warn("a secret cannot be read", { name: row.name, version: row.version });
      }
    }
    after = rows.at(-1);
    if (rows.length < BATCH) break;
  }
  if (rewrapped > 0)
    log.info("secrets were brought under the first key", { key: first, rewrapped });
}
