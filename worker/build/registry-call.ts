import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";

/**
 * Why a call to the registry failed. "unreachable": no answer, try again later. "full": its disk
 * or quota is. "missing": there is no such blob or manifest. "broken": any other answer.
 */
export type RegistryFailure = "unreachable" | "full" | "missing" | "denied" | "broken";

/** `message` says what this side was doing; `status` is absent where nothing answered. */
export class RegistryError extends Error {
  readonly kind: RegistryFailure;
  readonly status: number | undefined;
  constructor(kind: RegistryFailure, message: string, status?: number, cause?: unknown) {
    super(message, { cause });
    this.kind = kind;
    this.status = status;
  }
}

export type RegistryRequest = {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "DELETE";
  /** Below the registry's address, or where an upload's Location points. */
  readonly path: string | URL;
  /** The statuses that the caller handles; any other is thrown. */
  readonly expect: readonly number[];
  readonly headers?: Readonly<Record<string, string>>;
  /** Bytes, or a file that is streamed. */
  readonly body?: Uint8Array<ArrayBuffer> | { readonly path: string };
  /** Moves a blob: minutes are allowed, not seconds. */
  readonly long?: boolean;
  readonly signal: AbortSignal;
};

export type RegistryAnswer = {
  readonly status: number;
  readonly headers: Headers;
  readonly body: AsyncIterable<Uint8Array> | null;
  readonly location: URL | undefined;
};

/** `doing` completes "could not ...". */
export type RegistryCall = (doing: string, request: RegistryRequest) => Promise<RegistryAnswer>;

/** One HTTP exchange with the registry at `address`, every failure told apart. */
export function registryCall(address: string): RegistryCall {
  const { base, authorization } = parseAddress(address);
  return async (doing, request) => {
    const url = request.path instanceof URL ? request.path : new URL(base + request.path);
    const ours = url.origin === new URL(base).origin;
    const timeout = AbortSignal.timeout(request.long ? LONG_MS : SHORT_MS);
    const response = await fetch(url, {
      method: request.method,
      ...(await headersAndBody(request, ours ? authorization : undefined)),
      signal: AbortSignal.any([request.signal, timeout]),
    }).catch((error: unknown) => {
      request.signal.throwIfAborted();
      const how = timeout.aborted ? "did not answer in time" : "does not answer";
      throw new RegistryError(
        "unreachable",
        `could not ${doing}: the registry ${how}`,
        undefined,
        error,
      );
    });
    if (!request.expect.includes(response.status)) throw await refusal(doing, response);
    // What is not read would hold the connection.
    if (request.method !== "GET") await response.body?.cancel();
    const location = response.headers.get("location");
    return {
      status: response.status,
      headers: response.headers,
      body: response.body,
      location: location === null ? undefined : new URL(location, url),
    };
  };
}

async function headersAndBody(request: RegistryRequest, authorization: string | undefined) {
  const headers = { ...request.headers, ...(authorization && { authorization }) };
  const { body } = request;
  if (body === undefined || body instanceof Uint8Array) return { headers, ...(body && { body }) };
  const { size } = await stat(body.path);
  return {
    // Without it the stream would be sent in chunks, which object stores behind a registry refuse.
    headers: { ...headers, "content-length": String(size) },
    body: createReadStream(body.path, { highWaterMark: 256 * 1024 }),
    duplex: "half" as const,
  };
}

const SHORT_MS = 30_000;
const LONG_MS = 15 * 60_000;

function parseAddress(address: string): { base: string; authorization: string | undefined } {
  const url = new URL(address);
  const { username, password } = url;
  url.username = "";
  url.password = "";
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return {
    base: url.href.replace(/\/+$/, ""),
    authorization: username === "" ? undefined : `Basic ${Buffer.from(pair).toString("base64")}`,
  };
}

async function refusal(doing: string, response: Response): Promise<RegistryError> {
  const { status } = response;
  const text = (await response.text().catch(() => "")).slice(0, 2_000);
  return new RegistryError(
    failureOf(status, text),
    `could not ${doing}: the registry answered ${status}`,
    status,
    text === "" ? undefined : new Error(text),
  );
}

// distribution's file system driver reports a full disk as a 500 whose detail holds errno 28 (ENOSPC) or 122 (EDQUOT).
function failureOf(status: number, text: string): RegistryFailure {
  if (status === 404) return "missing";
  if (status === 401 || status === 403) return "denied";
  if (status === 507 || /"Err":\s*(28|122)\b|no space left|quota exceeded/i.test(text))
    return "full";
  return "broken";
}
