import { mkdir, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { removeTree } from "../host/volumes.ts";

/**
 * Removes what counts as whole while it stands at `path`: first out of its place and to `doomed`, so
 * that nobody ever finds the half of it, then away, with what a killed agent left there. `mayGo` is
 * asked before anything is touched and again at the last moment; false says that it said no.
 */
export async function takeAway(
  path: string,
  doomed: string,
  mayGo: () => boolean,
): Promise<boolean> {
  if (!mayGo()) return false;
  await removeTree(doomed);
  await mkdir(dirname(doomed), { recursive: true, mode: 0o700 });
  if (!mayGo()) return false;
  const wasThere = await rename(path, doomed).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return false;
      throw error;
    },
  );
  if (wasThere) await removeTree(doomed);
  return true;
}
