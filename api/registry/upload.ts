import { Digest } from "../../contract/ids.ts";
import { Problem } from "../../contract/problem.ts";
import { knownArtifacts } from "../../db/apps/artifacts.ts";
import { boundedBody, refuseTooLong } from "../http/bounded-body.ts";
import type { Call, KnownCall } from "../http/route.ts";
import {
  blobExists,
  cancelUpload,
  commitUpload,
  openUpload,
  sendUpload,
  type UploadSession,
} from "./client.ts";

export type Uploaded = { readonly digest: Digest; readonly size: number };

/** The repository that holds what a project uploads. */
function artifactRepository(call: KnownCall): string {
  return `artifacts/${call.caller.projectName}`;
}

/**
 * The body's bytes in the registry, hashed on their way and never held: a few chunks in memory,
 * whatever the size. Bytes that are there already are not stored again. On any failure nothing
 * stays behind. `expected` is the digest that they must have, where the caller said it.
 */
export async function storeBody(call: KnownCall, expected?: Digest): Promise<Uploaded> {
  const { deps } = call;
  const source = openBody(call);
  const repository = artifactRepository(call);
  let session: UploadSession | undefined;
  try {
    session = await openUpload(deps, repository);
    session = await sendUpload(deps, session, source.stream);
    const uploaded = source.result();
    refuseUnfit(uploaded, expected);
    if (await isStored(call, repository, uploaded.digest)) await cancelUpload(deps, session);
    else await commitUpload(deps, session, uploaded.digest);
    return uploaded;
  } catch (error) {
    if (session) await cancelUpload(deps, session);
    throw error;
  }
}

/** Only what the bytes are, for a dry run. */
export async function hashBody(call: KnownCall): Promise<Uploaded> {
  const source = openBody(call);
  for await (const _ of source.stream) {
    // The stream hashes what passes.
  }
  const uploaded = source.result();
  refuseUnfit(uploaded, undefined);
  return uploaded;
}

function refuseUnfit({ digest, size }: Uploaded, expected: Digest | undefined): void {
  if (size === 0) throw new Problem("artifact-empty", "The upload has no bytes; send the file.");
  if (expected !== undefined && digest !== expected) {
    throw new Problem("digest-mismatch", `The bytes that came have the digest ${digest}.`);
  }
}

async function isStored(call: KnownCall, repository: string, digest: Digest): Promise<boolean> {
  const known = await knownArtifacts(call.deps.db, call.caller.projectId, [digest]);
  return known.has(digest) && (await blobExists(call.deps, repository, digest));
}

type Source = {
  readonly stream: ReadableStream<Uint8Array>;
  /** What came, after the stream's end; throws why it ended too early. */
  readonly result: () => Uploaded;
};

function openBody(call: Call): Source {
  refuseTooLong(call);
  const hash = call.deps.sha256();
  const { stream, end } = boundedBody(
    call.c.req.raw.body,
    call.deps.config.maxArtifactBytes,
    (chunk) => hash.update(chunk),
  );
  const result = () => {
    const size = end();
    return { digest: Digest.parse(`sha256:${hash.hex()}`), size };
  };
  return { stream, result };
}
