import { Digest } from "../../contract/ids.ts";
import { digestOf } from "./digest.ts";
import {
  type RegistryCall,
  RegistryError,
  type RegistryRequest,
  registryCall,
} from "./registry-call.ts";
import type { SentStream } from "./send-file.ts";

export type StoredManifest = {
  readonly digest: Digest;
  readonly bytes: Buffer;
  /** As the registry announced it. */
  readonly mediaType: string | undefined;
};

/** The little of the OCI distribution protocol that a build needs. Every call has a time limit and obeys its signal. */
export type Registry = {
  hasBlob(repository: string, digest: Digest, signal: AbortSignal): Promise<boolean>;
  /** The bytes as they come, not verified: whoever reads them hashes them. A missing blob is an error of kind "missing". */
  blob(repository: string, digest: Digest, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
  /** A blob of at most 4 MiB, verified against its digest. */
  smallBlob(repository: string, digest: Digest, signal: AbortSignal): Promise<Buffer>;
  /** Streams a file; its bytes must have that digest, or the registry refuses them. */
  putFile(repository: string, digest: Digest, path: string, signal: AbortSignal): Promise<void>;
  putBytes(repository: string, digest: Digest, bytes: Buffer, signal: AbortSignal): Promise<void>;
  /** Sends the bytes as they come; there must be as many as `stream` says, and of that digest. An error of the stream's own is thrown as it is. */
  putStream(
    repository: string,
    digest: Digest,
    stream: SentStream,
    signal: AbortSignal,
  ): Promise<void>;
  /** How many bytes the registry says that a blob has; undefined where it does not say. A missing one is an error of kind "missing". */
  blobSize(repository: string, digest: Digest, signal: AbortSignal): Promise<number | undefined>;
  /** True when the blob is in `repository` now without a byte sent; false where the registry does not mount. */
  mountBlob(
    repository: string,
    digest: Digest,
    from: string,
    signal: AbortSignal,
  ): Promise<boolean>;
  manifestDigest(
    repository: string,
    reference: string,
    signal: AbortSignal,
  ): Promise<Digest | undefined>;
  /** The manifest with its bytes verified against its digest. A missing one is an error of kind "missing". */
  manifest(repository: string, reference: string, signal: AbortSignal): Promise<StoredManifest>;
  /** Stores the manifest under its digest, or under a tag. */
  putManifest(
    repository: string,
    reference: string,
    manifest: { readonly bytes: Buffer; readonly mediaType: string },
    signal: AbortSignal,
  ): Promise<void>;
};

/** `url` is plain HTTP or HTTPS and may carry a user and a password. Opens no connection yet. */
export function openRegistry(url: string): Registry {
  return registryOf(registryCall(url));
}

/** A registry that is reached by `call`, whatever that does on the way. */
export function registryOf(call: RegistryCall): Registry {
  return {
    hasBlob: (repository, digest, signal) => hasBlob(call, repository, digest, signal),
    blob: (repository, digest, signal) => blob(call, repository, digest, signal),
    smallBlob: (repository, digest, signal) => smallBlob(call, repository, digest, signal),
    putFile: (repository, digest, path, signal) =>
      upload(call, repository, digest, { path }, signal),
    putBytes: (repository, digest, bytes, signal) =>
      upload(call, repository, digest, new Uint8Array(bytes), signal),
    putStream: (repository, digest, stream, signal) =>
      upload(call, repository, digest, stream, signal),
    blobSize: (repository, digest, signal) => blobSize(call, repository, digest, signal),
    mountBlob: (repository, digest, from, signal) =>
      mountBlob(call, repository, digest, from, signal),
    manifestDigest: (repository, reference, signal) =>
      manifestDigest(call, repository, reference, signal),
    manifest: (repository, reference, signal) => manifest(call, repository, reference, signal),
    putManifest: (repository, reference, { bytes, mediaType }, signal) =>
      putManifest(call, repository, reference, bytes, mediaType, signal),
  };
}

const MANIFEST_TYPES = [
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
].join(", ");
const SMALL_BYTES = 4 * 1024 * 1024;

async function hasBlob(
  call: RegistryCall,
  repository: string,
  digest: Digest,
  signal: AbortSignal,
): Promise<boolean> {
  const answer = await call(`look for blob ${digest} in ${repository}`, {
    method: "HEAD",
    path: `/v2/${repository}/blobs/${digest}`,
    expect: [200, 404],
    signal,
  });
  return answer.status === 200;
}

async function blob(
  call: RegistryCall,
  repository: string,
  digest: Digest,
  signal: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  const doing = `read blob ${digest} of ${repository}`;
  const path = `/v2/${repository}/blobs/${digest}`;
  const { body } = await call(doing, { method: "GET", path, expect: [200], long: true, signal });
  if (body === null) throw new RegistryError("broken", `could not ${doing}: no body came`, 200);
  return body;
}

async function blobSize(
  call: RegistryCall,
  repository: string,
  digest: Digest,
  signal: AbortSignal,
): Promise<number | undefined> {
  const answer = await call(`ask for the size of blob ${digest} of ${repository}`, {
    method: "HEAD",
    path: `/v2/${repository}/blobs/${digest}`,
    // Some storages behind a registry answer a HEAD in their own way, and a GET as they should.
    expect: [200, 400, 403, 405, 501],
    signal,
  });
  const length = answer.headers.get("content-length");
  return answer.status === 200 && length !== null ? Number(length) : undefined;
}

async function smallBlob(
  call: RegistryCall,
  repository: string,
  digest: Digest,
  signal: AbortSignal,
): Promise<Buffer> {
  const doing = `read blob ${digest} of ${repository}`;
  const bytes = await collect(await blob(call, repository, digest, signal), doing);
  const real = digestOf(bytes);
  if (real === digest) return bytes;
  throw new RegistryError("mismatch", `could not ${doing}: its bytes are those of ${real}`, 200);
}

async function collect(
  body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  doing: string,
): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > SMALL_BYTES) {
      throw new RegistryError("oversized", `could not ${doing}: larger than 4 MiB`, 200);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function upload(
  call: RegistryCall,
  repository: string,
  digest: Digest,
  body: NonNullable<RegistryRequest["body"]>,
  signal: AbortSignal,
): Promise<void> {
  const doing = `upload blob ${digest} to ${repository}`;
  const path = `/v2/${repository}/blobs/uploads/`;
  const begun = await call(doing, { method: "POST", path, expect: [202], signal });
  const target = locationOf(begun, doing);
  target.searchParams.set("digest", digest);
  await call(doing, {
    method: "PUT",
    path: target,
    expect: [201],
    headers: { "content-type": "application/octet-stream" },
    body,
    long: true,
    signal,
  });
}

async function mountBlob(
  call: RegistryCall,
  repository: string,
  digest: Digest,
  from: string,
  signal: AbortSignal,
): Promise<boolean> {
  const doing = `mount blob ${digest} from ${from} into ${repository}`;
  const query = new URLSearchParams({ mount: digest, from });
  const path = `/v2/${repository}/blobs/uploads/?${query}`;
  const answer = await call(doing, { method: "POST", path, expect: [201, 202], signal });
  if (answer.status === 201) return true;
  // The registry opened an upload instead, which nobody will end.
  const upload = locationOf(answer, doing);
  await call(doing, { method: "DELETE", path: upload, expect: [204, 202, 200, 404, 405], signal });
  return false;
}

async function manifestDigest(
  call: RegistryCall,
  repository: string,
  reference: string,
  signal: AbortSignal,
): Promise<Digest | undefined> {
  const doing = `look for the manifest ${reference} of ${repository}`;
  const answer = await call(doing, {
    method: "HEAD",
    path: `/v2/${repository}/manifests/${reference}`,
    expect: [200, 404],
    headers: { accept: MANIFEST_TYPES },
    signal,
  });
  if (answer.status === 404) return undefined;
  const digest = Digest.safeParse(answer.headers.get("docker-content-digest"));
  if (digest.success) return digest.data;
  throw new RegistryError("broken", `could not ${doing}: the answer names no digest`, 200);
}

async function manifest(
  call: RegistryCall,
  repository: string,
  reference: string,
  signal: AbortSignal,
): Promise<StoredManifest> {
  const doing = `read the manifest ${reference} of ${repository}`;
  const { body, headers } = await call(doing, {
    method: "GET",
    path: `/v2/${repository}/manifests/${reference}`,
    expect: [200],
    headers: { accept: MANIFEST_TYPES },
    signal,
  });
  const bytes = await collect(body ?? [], doing);
  const digest = digestOf(bytes);
  if (reference.startsWith("sha256:") && reference !== digest) {
    throw new RegistryError(
      "mismatch",
      `could not ${doing}: its bytes are those of ${digest}`,
      200,
    );
  }
  return { digest, bytes, mediaType: headers.get("content-type") ?? undefined };
}

async function putManifest(
  call: RegistryCall,
  repository: string,
  reference: string,
  bytes: Buffer,
  mediaType: string,
  signal: AbortSignal,
): Promise<void> {
  await call(`store the manifest ${reference} in ${repository}`, {
    method: "PUT",
    path: `/v2/${repository}/manifests/${reference}`,
    expect: [201],
    headers: { "content-type": mediaType },
    body: new Uint8Array(bytes),
    signal,
  });
}

function locationOf(answer: { location: URL | undefined }, doing: string): URL {
  if (answer.location) return answer.location;
  throw new RegistryError("broken", `could not ${doing}: the answer has no Location`, 202);
}
