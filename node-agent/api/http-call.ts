import type { ClientRequest, IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";

/** An `import` of this module would load a WebSocket client too, ten megabytes that nobody uses here. */
export const http = process.getBuiltinModule("node:http");

export type HttpCall = {
  /** Where to connect: a URL, or a path on a unix socket. */
  readonly to: { readonly url: string } | { readonly socket: string; readonly path: string };
  readonly method: string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: string;
  readonly timeoutMs: number;
  /** A longer answer is an error, or is cut there where `cut` is set. */
  readonly maxBytes: number;
  readonly cut?: boolean;
  readonly signal?: AbortSignal;
};

export type HttpAnswer = {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
  /** This side's address of the connection; none on a unix socket. */
  readonly localAddress?: string;
};

/**
 * One request on a connection of its own, redirects not followed. Rejects when no whole answer came
 * within `timeoutMs`. Smaller than `fetch`, which costs the agent a fifth of its memory, and made of
 * plain callbacks: with abort signals and async iteration a probe costs twice the time.
 */
export function httpCall(call: HttpCall): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const { signal } = call;
    const request = sent(call, (answer) => {
      readBounded(answer, call, fail, (text) => {
        const { localAddress } = answer.socket;
        stop();
        resolve({
          status: answer.statusCode ?? 0,
          headers: answer.headers,
          text,
          ...(localAddress !== undefined && { localAddress }),
        });
      });
    });
    const late = setTimeout(() => fail(timeoutError(call.timeoutMs)), call.timeoutMs);
    const onAbort = () => fail(signal?.reason);
    if (signal?.aborted) onAbort();
    signal?.addEventListener("abort", onAbort, { once: true });
    request.on("error", fail);
    request.end(call.body);

    function fail(error: unknown): void {
      stop();
      reject(error);
    }
    function stop(): void {
      clearTimeout(late);
      signal?.removeEventListener("abort", onAbort);
      request.destroy();
    }
  });
}

function sent(call: HttpCall, onAnswer: (answer: IncomingMessage) => void): ClientRequest {
  const options = {
    method: call.method,
    agent: false,
    headers: {
      ...call.headers,
      ...(call.body !== undefined && { "content-length": String(Buffer.byteLength(call.body)) }),
    },
  };
  const { to } = call;
  if ("socket" in to)
    return http.request({ ...options, socketPath: to.socket, path: to.path }, onAnswer);
  const request = to.url.startsWith("https:") ? httpsRequest : http.request;
  return request(to.url, options, onAnswer);
}

function readBounded(
  answer: IncomingMessage,
  { maxBytes, cut }: HttpCall,
  onError: (error: unknown) => void,
  onText: (text: string) => void,
): void {
  const chunks: Buffer[] = [];
  let size = 0;
  const whole = () => Buffer.concat(chunks).toString("utf8");
  // Without what is there of a character that the cut goes through.
  const beginning = () =>
    new TextDecoder().decode(Buffer.concat(chunks).subarray(0, maxBytes), { stream: true });
  answer.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    size += chunk.length;
    if (size <= maxBytes) return;
    if (cut) onText(beginning());
    else onError(new Error(`the answer is longer than ${maxBytes} bytes`));
  });
  answer.once("end", () => {
    if (answer.complete || cut) onText(whole());
    else onError(new Error("the answer ended before it was whole"));
  });
  answer.on("error", onError);
}

/** Known by its name, as that of an AbortSignal's timeout is. */
export function timeoutError(timeoutMs: number): DOMException {
  return new DOMException(`no whole answer came within ${timeoutMs} ms`, "TimeoutError");
}
