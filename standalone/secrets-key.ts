import { randomBytes } from "node:crypto";
import { link, open, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { readIfThere, UNFINISHED } from "./files.ts";

/**
 * The installation's key for secrets, made once: a file that only root reads, outside of PostgreSQL, so
 * that neither a dump nor a stolen disk of the database shows a secret. The key has a name of its own,
 * so that a new file beside an old database is told apart from the right one, and refused by the api.
 */
export async function ensureSecretsKey(path: string): Promise<void> {
  if ((await readIfThere(path)) !== undefined) return;
  const unfinished = path + UNFINISHED;
  await rm(unfinished, { force: true });
  const file = await open(unfinished, "wx", 0o400);
  try {
    const kid = `k${randomBytes(4).toString("hex")}`;
    await file.writeFile(`${kid}:${randomBytes(32).toString("base64")}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  // Unlike a rename, it never replaces a file that somebody put there meanwhile.
  await link(unfinished, path);
  await rm(unfinished);
  const folder = await open(dirname(path), "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
