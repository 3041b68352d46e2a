import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, mkdtemp, open, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { Digest } from "../../contract/ids.ts";
import type { LayerFile } from "./layer-file.ts";

/** A folder of one piece of work; gone when the work is over, however it ends. */
export type Scratch = AsyncDisposable & { readonly path: string };

/**
 * Makes a folder in `workDir`. What dead processes left there is removed first, so a worker that was
 * killed leaves nothing for long.
 */
export async function openScratch(workDir: string, purpose: string): Promise<Scratch> {
  await mkdir(workDir, { recursive: true, mode: 0o700 });
  await sweepScratch(workDir);
  const path = await mkdtemp(join(workDir, `${purpose}-${process.pid}-`));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** Removes the scratch folders in `workDir` whose process is no more. Anything else there is left alone. */
async function sweepScratch(workDir: string): Promise<void> {
  for (const name of await readdir(workDir)) {
    const pid = Number(/^[a-z]+-(\d+)-[A-Za-z0-9]{6}$/.exec(name)?.[1]);
    if (!Number.isInteger(pid) || isAlive(pid)) continue;
    await rm(join(workDir, name), { recursive: true, force: true });
  }
}

/** Writes the stream to `path`, on disk only, and throws unless its bytes have that digest. Returns their number. */
export async function spool(
  stream: AsyncIterable<Uint8Array>,
  path: string,
  digest: Digest,
): Promise<number> {
  await using file = await open(path, "wx", 0o600);
  const hash = createHash("sha256");
  const buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  let used = 0;
  let bytes = 0;
  async function flush() {
    for (let done = 0; done < used; ) {
      done += (await file.write(buffer, done, used - done)).bytesWritten;
    }
    used = 0;
  }
  for await (const chunk of stream) {
    hash.update(chunk);
    bytes += chunk.length;
    for (let done = 0; done < chunk.length; ) {
      if (used === buffer.length) await flush();
      const part = chunk.subarray(done, done + buffer.length - used);
      buffer.set(part, used);
      used += part.length;
      done += part.length;
    }
  }
  await flush();
  const real = `sha256:${hash.digest("hex")}`;
  if (real !== digest) throw new Error(`the bytes of ${digest} came as those of ${real}`);
  return bytes;
}

/** A network hands over small chunks; a write for each would cost more than the bytes. */
const BUFFER_BYTES = 1024 * 1024;

/** A layer that another program wrote. */
export async function hashFile(path: string): Promise<LayerFile> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { path, digest: Digest.parse(`sha256:${hash.digest("hex")}`), bytes };
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // EPERM: it lives, and is another user's.
    return !(error instanceof Error && "code" in error && error.code === "ESRCH");
  }
}
