import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { z } from "zod";
import { REGISTRY_NAME } from "../../../contract/node/protocol.ts";
import { http } from "../../api/http-call.ts";

const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;
const SILENCE_MS = 60_000;
const PULL_MS = 15 * 60_000;

const Layer = z.object({
  mediaType: z.string(),
  digest: z.string().regex(/^sha256:[0-9a-f]{64}$/),
  size: z.int().min(0),
  annotations: z.record(z.string(), z.string()).default({}),
});
/** One thing that an artifact consists of: an archive, or a file. */
export type Layer = z.infer<typeof Layer>;

const Manifest = z.object({ layers: z.array(Layer).max(500) });
const ACCEPT = [
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
].join(", ");

export type ArtifactName = { readonly repository: string; readonly digest: string };

/** The parts of a reference as pods carry it. */
export function artifactName(reference: string): ArtifactName {
  const match = /^([^/]+)\/(.+)@(sha256:[0-9a-f]{64})$/.exec(reference);
  const [, registry, repository, digest] = match ?? [];
  if (registry !== REGISTRY_NAME || repository === undefined || digest === undefined)
    throw new Error(`"${reference}" is not named by digest in ${REGISTRY_NAME}`);
  return { repository, digest };
}

export type ArtifactRegistry = {
  layers(name: ArtifactName): Promise<readonly Layer[]>;
  /** The bytes as they come; the last turn throws when they are not what was named. */
  bytes(repository: string, blob: Pick<Layer, "digest" | "size">): AsyncGenerator<Buffer>;
};

/** Artifacts through the api's /v2, with the node's token as the password. */
export function openArtifactRegistry(
  apiUrl: string,
  token: () => string | undefined,
): ArtifactRegistry {
  async function get(path: string, accept: string): Promise<IncomingMessage> {
    const password = token();
    if (password === undefined) throw new Error("this node has not joined yet, so it cannot pull");
    const login = Buffer.from(`node:${password}`).toString("base64");
    const answer = await answerOf(`${apiUrl}/v2/${path}`, {
      accept,
      authorization: `Basic ${login}`,
    });
    if (answer.statusCode === 200) return answer;
    answer.destroy();
    throw new Error(`the registry answered ${answer.statusCode} to ${path}`);
  }

  async function* bytes(repository: string, blob: Pick<Layer, "digest" | "size">) {
    const answer = await get(`${repository}/blobs/${blob.digest}`, "*/*");
    yield* verified(answer, blob.digest, blob.size);
  }

  return {
    bytes,
    async layers({ repository, digest }) {
      const answer = await get(`${repository}/manifests/${digest}`, ACCEPT);
      const chunks: Buffer[] = [];
      for await (const chunk of verified(answer, digest, undefined)) chunks.push(chunk);
      const manifest = Manifest.safeParse(JSON.parse(Buffer.concat(chunks).toString("utf8")));
      if (!manifest.success) throw new Error(`${repository}@${digest} is no image or artifact`);
      return manifest.data.layers;
    },
  };
}

/** `size` undefined is a manifest's, which nobody has told: then it is bounded. */
async function* verified(
  source: AsyncIterable<Buffer>,
  digest: string,
  size: number | undefined,
): AsyncGenerator<Buffer> {
  const hash = createHash("sha256");
  let seen = 0;
  for await (const chunk of source) {
    seen += chunk.length;
    if (seen > (size ?? MAX_MANIFEST_BYTES)) throw new Error(`${digest} is longer than it says`);
    hash.update(chunk);
    yield chunk;
  }
  if (`sha256:${hash.digest("hex")}` !== digest) throw new Error(`what came is not ${digest}`);
}

function answerOf(url: string, headers: Record<string, string>): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = url.startsWith("https:") ? httpsRequest : http.request;
    const options = { agent: false, headers, signal: AbortSignal.timeout(PULL_MS) } as const;
    const sent = request(url, options, resolve);
    sent.setTimeout(SILENCE_MS, () => sent.destroy(new Error("the registry went silent")));
    sent.once("error", reject);
    sent.end();
  });
}
