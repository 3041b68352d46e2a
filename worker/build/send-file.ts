import { once } from "node:events";
import { open } from "node:fs/promises";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";

/**
 * PUTs a file, with one small buffer however big it is: `fetch` reads a streamed body as fast as
 * the disk gives it and holds what the network does not take. Resolves with the answer, of which at
 * most 64 KiB are kept.
 */
export async function sendFile(
  url: URL,
  path: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Response> {
  await using file = await open(path);
  const { size } = await file.stat();
  const start = url.protocol === "https:" ? httpsRequest : httpRequest;
  const request = start(url, {
    method: "PUT",
    headers: { ...headers, "content-length": String(size) },
    signal,
  });
  const answered = once(request, "response") as Promise<[IncomingMessage]>;
  // A registry that refuses answers before it has read everything; what is left is not sent then.
  let over = false;
  const onOver = () => {
    over = true;
  };
  answered.then(onOver, onOver);
  const buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  while (!over) {
    const { bytesRead } = await file.read(buffer, 0, buffer.length);
    if (bytesRead === 0) break;
    const taken = Promise.withResolvers<void>();
    request.write(buffer.subarray(0, bytesRead), (error) =>
      error ? taken.reject(error) : taken.resolve(),
    );
    await Promise.race([taken.promise, answered]);
  }
  if (!over) request.end();
  const [answer] = await answered;
  try {
    return await asResponse(answer);
  } finally {
    if (!request.writableFinished) request.destroy();
  }
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
