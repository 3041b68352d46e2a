import { once } from "node:events";
import { open } from "node:fs/promises";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";

/** Bytes on their way from elsewhere, as many as `bytes` says. */
export type SentStream = { readonly chunks: AsyncIterable<Uint8Array>; readonly bytes: number };

/** What was to be sent could not be read: `cause` says why. Nothing to do with whom it was sent to. */
export class BodyUnreadable extends Error {}

/** PUTs a file, as `sendStream` does. */
export async function sendFile(
  url: URL,
  path: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Response> {
  await using file = await open(path).catch(unreadable);
  const { size } = await file.stat();
  const buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  async function* chunks() {
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  }
  return await sendStream(url, { chunks: chunks(), bytes: size }, headers, signal);
}

/**
 * PUTs a stream, never holding more than one chunk: `fetch` reads a streamed body as fast as it comes
 * and holds what the network does not take. Resolves with the answer, of which at most 64 KiB are kept.
 */
export async function sendStream(
  url: URL,
  body: SentStream,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Response> {
  const start = url.protocol === "https:" ? httpsRequest : httpRequest;
  const request = start(url, {
    method: "PUT",
    headers: { ...headers, "content-length": String(body.bytes) },
    signal,
  });
  const answered = once(request, "response") as Promise<[IncomingMessage]>;
  // A registry that refuses answers before it has read everything; what is left is not sent then.
  let over = false;
  const onOver = () => {
    over = true;
  };
  answered.then(onOver, onOver);
  try {
    for await (const chunk of readable(body.chunks)) {
      if (over) break;
      const taken = Promise.withResolvers<void>();
      request.write(chunk, (error) => (error ? taken.reject(error) : taken.resolve()));
      await Promise.race([taken.promise, answered]);
    }
    if (!over) request.end();
    const [answer] = await answered;
    return await asResponse(answer);
  } finally {
    if (!request.writableFinished) request.destroy();
  }
}

async function* readable(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = chunks[Symbol.asyncIterator]();
  try {
    for (;;) {
      const step = await reader.next().catch(unreadable);
      if (step.done) return;
      yield step.value;
    }
  } finally {
    await reader.return?.();
  }
}

function unreadable(cause: unknown): never {
  throw new BodyUnreadable("the bytes to send could not be read", { cause });
}

const BUFFER_BYTES = 1024 * 1024;
const MAX_ANSWER_BYTES = 64 * 1024;

async function asResponse(answer: IncomingMessage): Promise<Response> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes <= MAX_ANSWER_BYTES) chunks.push(chunk);
  }
  const headers = new Headers();
  for (const [name, value] of Object.entries(answer.headers)) {
    if (typeof value === "string") headers.set(name, value);
  }
  const status = answer.statusCode ?? 0;
  // A response without content takes no body, not even an empty one.
  return new Response(status === 204 ? null : Buffer.concat(chunks), { status, headers });
}
