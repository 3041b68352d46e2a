import { Problem } from "../../contract/problem.ts";
import type { Call } from "./route.ts";

export type BoundedBody = {
  readonly stream: ReadableStream<Uint8Array>;
  /** How many bytes passed, after the stream's end; throws why it ended too early. */
  readonly end: () => number;
};

/**
 * The body of at most `limit` bytes, counted as it passes and shown to `look`. One that is cut short
 * or too large ends early, and cleanly: a registry forgets an upload only for whoever knows how far it
 * came, and says so only at a clean end.
 */
export function boundedBody(
  body: ReadableStream<Uint8Array> | null,
  limit: number,
  look: (chunk: Uint8Array) => void = () => undefined,
): BoundedBody {
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
        look(chunk);
        controller.enqueue(chunk);
      },
      cancel: (reason) => reader?.cancel(reason),
    },
    { highWaterMark: 0 },
  );
  const end = () => {
    if (failure) throw failure;
    return size;
  };
  return { stream, end };
}

/** Refuses at once a body whose length is known and too much. */
export function refuseTooLong(call: Call): void {
  const length = Number(call.c.req.header("content-length") ?? 0);
  const limit = call.deps.config.maxArtifactBytes;
  if (length > limit) throw tooLarge(limit);
}

function tooLarge(limit: number): Problem {
  return new Problem(
    "artifact-too-large",
    `This installation takes uploads of at most ${limit} bytes (WAYBILL_MAX_ARTIFACT).`,
  );
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
