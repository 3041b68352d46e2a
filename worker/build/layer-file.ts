import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { Digest } from "../../contract/ids.ts";
import { TAR_END, type TarRecord, tarHeader, tarPadding } from "./tar.ts";

/** A layer on disk: uncompressed, so its digest is its diff id as well. */
export type LayerFile = { readonly path: string; readonly digest: Digest; readonly bytes: number };

export type LayerWriter = {
  add(record: TarRecord): Promise<void>;
  /** Content of the file added last, in order. The chunk may be reused once this resolves. */
  content(chunk: Buffer): Promise<void>;
};

/** Writes a layer to `path` while `fill` adds to it, hashing on the way; memory is bounded whatever comes. */
export async function writeLayer(
  path: string,
  fill: (writer: LayerWriter) => Promise<void>,
): Promise<LayerFile> {
  await using file = await open(path, "wx", 0o600);
  const hash = createHash("sha256");
  const buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  let used = 0;
  let bytes = 0;
  let padding = 0;

  async function flush() {
    const chunk = buffer.subarray(0, used);
    hash.update(chunk);
    for (let done = 0; done < used; ) {
      done += (await file.write(chunk, done, used - done)).bytesWritten;
    }
    used = 0;
  }
  async function append(chunk: Buffer) {
    bytes += chunk.length;
    for (let done = 0; done < chunk.length; ) {
      if (used === buffer.length) await flush();
      const copied = chunk.copy(buffer, used, done);
      used += copied;
      done += copied;
    }
  }

  await fill({
    add: async (record) => {
      await append(ZEROS.subarray(0, padding));
      padding = tarPadding(record.bytes);
      await append(tarHeader(record));
    },
    content: append,
  });
  await append(ZEROS.subarray(0, padding));
  await append(TAR_END);
  await flush();
  return { path, digest: Digest.parse(`sha256:${hash.digest("hex")}`), bytes };
}

const BUFFER_BYTES = 1024 * 1024;
const ZEROS = Buffer.alloc(512);
