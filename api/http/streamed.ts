/** A part goes out when it is there; nothing is asked for before the client took the last one. */
export function streamed(type: string, source: AsyncGenerator<string, void>): Response {
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      const step = await source.next();
      if (step.done) controller.close();
      else controller.enqueue(encoder.encode(step.value));
    },
    cancel: async () => {
      await source.return();
    },
  });
  return new Response(body, {
    headers: { "content-type": type, "cache-control": "no-store", "x-accel-buffering": "no" },
  });
}
