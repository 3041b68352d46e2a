import { Digest } from "../contract/ids.ts";
import { Problem } from "../contract/problem.ts";
import { knownArtifacts } from "../db/artifacts.ts";
import type { Hash } from "./deps.ts";
import {
  blobExists,
  cancelUpload,
  commitUpload,
  openUpload,
  sendUpload,
  type UploadSession,
} from "./registry.ts";
import type { Call, KnownCall } from "./route.ts";

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

/** Refuses at once a body whose length is known and too much. */
export function refuseTooLong(call: Call): void {
  const length = Number(call.c.req.header("content-length") ?? 0);
  const limit = call.deps.config.maxArtifactBytes;
  if (length > limit) throw tooLarge(limit);
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
  return tap(call.c.req.raw.body, call.deps.sha256(), call.deps.config.maxArtifactBytes);
}

/**
 * The body, counted and hashed as it passes. One that is cut short or too large ends early, and
 * cleanly: a registry forgets an upload only for whoever knows how far it came, and says so only at
 * a clean end.
 */
function tap(body: ReadableStream<Uint8Array> | null, hash: Hash, limit: number): Source {
  const reader = body?.getReader();
  let size = 0;
  let failure: Problem | undefined;
  const stream = new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        const chunk = await readChunk(reader).catch((error: unknown) => {
          failure = cutShort(error);
          return undefined;
        });
        size += chunk?.byteLength ?? 0;
        if (chunk === undefined) return controller.close();
        if (size > limit) {
          failure = tooLarge(limit);
          controller.close();
          return await reader?.cancel(failure);
        }
        hash.update(chunk);
        controller.enqueue(chunk);
      },
      cancel: (reason) => reader?.cancel(reason),
    },
    { highWaterMark: 0 },
  );
  const result = () => {
    if (failure) throw failure;
    return { digest: Digest.parse(`sha256:${hash.hex()}`), size };
  };
  return { stream, result };
}

async function readChunk(
  reader: ReadableStreamDefaultReader<Uint8Array> | undefined,
): Promise<Uint8Array | undefined> {
  const step = await reader?.read();
  return step?.value;
}

function cutShort(cause: unknown): Problem {
  return new Problem("body-invalid", "The upload ended before its end.", { cause });
}

function tooLarge(limit: number): Problem {
  return new Problem(
    "artifact-too-large",
    `This installation takes uploads of at most ${limit} bytes (WAYBILL_MAX_ARTIFACT).`,
  );
}
