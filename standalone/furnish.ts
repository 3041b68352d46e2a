import { chmod, rm, writeFile } from "node:fs/promises";
import { exec } from "../kit/exec.ts";
import { readIfThere } from "./files.ts";
import type { ConfigFile, Folder, Part } from "./part.ts";

/** Makes a part's folders and configuration as they should be, and clears what would be in its way. */
export async function furnish(part: Part): Promise<void> {
  for (const folder of part.folders) await makeFolder(folder);
  let changed = false;
  for (const file of part.files) {
    if ((await readIfThere(file.path)) === file.text) continue;
    await writeConfig(file);
    changed = true;
  }
  const obsolete = [...part.sockets, ...(changed ? part.memories : [])];
  for (const path of obsolete) await rm(path, { force: true });
}

export async function makeFolder({ path, mode, owner = "root" }: Folder): Promise<void> {
  const argv = ["-d", "-m", mode, "-o", owner, "-g", owner, "--", path];
  await exec("/usr/bin/install", argv, { timeoutMs: 10_000 });
}

/** A file that only its owner reads, or what its mode says; it may hold a password. */
export async function writeConfig({ path, text, owner, mode = "0600" }: ConfigFile): Promise<void> {
  await rm(path, { force: true });
  await writeFile(path, text, { mode: 0o600 });
  await chmod(path, Number.parseInt(mode, 8));
  if (owner) await exec("/usr/bin/chown", [`${owner}:${owner}`, "--", path], { timeoutMs: 10_000 });
}
