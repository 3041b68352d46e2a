import { BodyUnreadable, type SentStream, sendFile, sendStream } from "./send-file.ts";

/**
 * Why a call to the registry failed. "unreachable": no answer, try again later. "full": its disk
 * or quota is. "missing": there is no such blob or manifest. "denied": it wants to know who asks.
 * "refused": it was not asked, since it may not be. "mismatch": the bytes are not those of the digest.
 * "oversized": they are more than is taken. "broken": any other answer.
 */
export type RegistryFailure =
  | "unreachable"
  | "full"
  | "missing"
  | "denied"
  | "refused"
  | "mismatch"
  | "oversized"
  | "broken";

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
  /** Bytes, or a file or a stream to PUT, of which little is held. */
  readonly body?: Uint8Array<ArrayBuffer> | { readonly path: string } | SentStream;
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
    const signal = AbortSignal.any([request.signal, timeout]);
    const response = await send(url, request, ours ? authorization : undefined, signal).catch(
      (error: unknown) => {
        request.signal.throwIfAborted();
        if (error instanceof BodyUnreadable) throw error.cause;
        const how = timeout.aborted ? "did not answer in time" : "does not answer";
        throw new RegistryError(
          "unreachable",
          `could not ${doing}: the registry ${how}`,
          undefined,
          error,
        );
      },
    );
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

function send(
  url: URL,
  request: RegistryRequest,
  authorization: string | undefined,
  signal: AbortSignal,
): Promise<Response> {
  const headers = { ...request.headers, ...(authorization && { authorization }) };
  const { method, body } = request;
  if (body === undefined) return fetch(url, { method, headers, signal });
  if (body instanceof Uint8Array) return fetch(url, { method, headers, body, signal });
  if ("path" in body) return sendFile(url, body.path, headers, signal);
  return sendStream(url, body, headers, signal);
}

export const SHORT_MS = 30_000;
export const LONG_MS = 15 * 60_000;

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
  const kind = failureOf(status, text);
  const how = kind === "full" ? "is full" : `answered ${status}`;
  return new RegistryError(
    kind,
    `could not ${doing}: the registry ${how}`,
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
