import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const BUILD = join(import.meta.dirname, "../../examples/hello-war/build.sh");

/** The README's example, its page showing `version`. The same version gives the same bytes. */
export async function helloWar(version: string): Promise<Uint8Array<ArrayBuffer>> {
  const folder = await mkdtemp(join(tmpdir(), "waybill-war-"));
  try {
    const war = join(folder, "hello.war");
    await promisify(execFile)("/bin/sh", [BUILD, version, war]);
    return new Uint8Array(await readFile(war));
  } finally {
    await rm(folder, { recursive: true });
  }
}
