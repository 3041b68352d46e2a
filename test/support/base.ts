import { existsSync } from "node:fs";
import { cp, rename, rm } from "node:fs/promises";
import { arch, tmpdir } from "node:os";
import { join } from "node:path";
import { openBases } from "../../worker/build/base.ts";
import { tomcatBaseTag } from "../../worker/build/recipe/tomcat-base.ts";
import { startRegistry, type TestRegistry } from "./registry.ts";
import { keptFolder } from "./run-folder.ts";

/**
 * The storage of a registry that has the Tomcat base and the pause image. Made once for each recipe
 * and kept for later runs, since making it takes about a minute; a changed recipe has another folder.
 */
export async function baseStorage(): Promise<string> {
  const tag = tomcatBaseTag(arch() === "x64" ? "amd64" : arch());
  const name = `waybill-test-base-${tag}`;
  const kept = join(keptFolder(), name);
  if (existsSync(kept)) return kept;

  await using registry = await startRegistry();
  const workDir = join(tmpdir(), `${name}-work-${process.pid}`);
  const bases = openBases({ registry: registry.client, workDir });
  const signal = AbortSignal.timeout(BASE_TIMEOUT_MS);
  try {
    await bases.pause(async () => undefined, signal);
    await bases.tomcat(async () => undefined, signal);
  } finally {
    await rm(workDir, { recursive: true, force: true });
  }
  const own = join(tmpdir(), `${name}-${process.pid}`);
  await cp(registry.storage, own, { recursive: true });
  // Whoever renames first wins; the others throw theirs away.
  await rename(own, kept).catch(async (error: NodeJS.ErrnoException) => {
    await rm(own, { recursive: true, force: true });
    if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
  });
  return kept;
}

/** How long a test that needs the base may take, where it has to be made first. */
export const BASE_TIMEOUT_MS = 10 * 60_000;

/** A registry of one's own that has the bases. */
export async function startRegistryWithBases(): Promise<TestRegistry> {
  return startRegistry({ from: await baseStorage() });
}
