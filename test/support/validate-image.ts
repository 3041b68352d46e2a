import { createHash } from "node:crypto";
import { z } from "zod";
import { Digest } from "../../contract/ids.ts";
import type { Registry } from "../../worker/build/registry.ts";

const Descriptor = z.object({ mediaType: z.string(), digest: Digest, size: z.int() });
const Manifest = z.object({ config: Descriptor, layers: z.array(Descriptor) });
const Config = z.object({
  config: z.object({ Entrypoint: z.array(z.string()), User: z.string() }),
  rootfs: z.object({ diff_ids: z.array(Digest) }),
  history: z.array(z.object({ created_by: z.string() })),
});

/** An image whose every digest and size was recomputed. */
export type ValidImage = {
  readonly layers: readonly z.infer<typeof Descriptor>[];
  readonly run: z.infer<typeof Config>["config"];
};

/** Reads all of an image out of the registry; throws one error with everything that does not fit together. */
export async function validateImage(
  registry: Registry,
  repository: string,
  digest: Digest,
): Promise<ValidImage> {
  const signal = AbortSignal.timeout(60_000);
  const { bytes } = await registry.manifest(repository, digest, signal);
  const manifest = Manifest.parse(JSON.parse(bytes.toString()));
  const wrong: string[] = [];
  for (const blob of [manifest.config, ...manifest.layers]) {
    const hash = createHash("sha256");
    let size = 0;
    for await (const chunk of await registry.blob(repository, blob.digest, signal)) {
      hash.update(chunk);
      size += chunk.length;
    }
    if (size !== blob.size) wrong.push(`${blob.digest} has ${size} bytes, not ${blob.size}`);
    const real = `sha256:${hash.digest("hex")}`;
    if (real !== blob.digest) wrong.push(`${blob.digest} has the bytes of ${real}`);
  }
  const text = await registry.smallBlob(repository, manifest.config.digest, signal);
  const config = Config.parse(JSON.parse(text.toString()));
  manifest.layers.forEach((layer, at) => {
    // Layers are not compressed, so both are the hash of the same bytes.
    if (config.rootfs.diff_ids[at] !== layer.digest) wrong.push(`layer ${at} has another diff id`);
  });
  if (config.rootfs.diff_ids.length !== manifest.layers.length) wrong.push("diff ids are missing");
  if (config.history.length !== manifest.layers.length) wrong.push("the history misses layers");
  if (wrong.length > 0) throw new Error(`The image ${digest} is broken: ${wrong.join("; ")}`);
  return { layers: manifest.layers, run: config.config };
}
