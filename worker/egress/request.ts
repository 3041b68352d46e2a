import { lookup } from "node:dns/promises";
import { once } from "node:events";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { isIP } from "node:net";
import { type EgressPolicy, mayAsk, mayConnect, type Reach, type Verdict } from "./policy.ts";

/** The policy says no: trying again changes nothing. `message` completes "<host> was not asked: ". */
export class EgressRefused extends Error {}

export type EgressRequest = {
  readonly method: "GET" | "HEAD";
  readonly headers?: Readonly<Record<string, string>>;
  readonly reach: Reach;
  readonly signal: AbortSignal;
};

export type EgressAnswer = {
  readonly status: number;
  readonly headers: Headers;
  /** Read it to its end or destroy it: until then it holds a connection. */
  readonly body: IncomingMessage;
};

/** The one way out: asks for what lies outside Waybill. */
export type Egress = (url: URL, request: EgressRequest) => Promise<EgressAnswer>;

/** The addresses of a host; none where its name is known to have none. */
export type Resolve = (host: string) => Promise<readonly string[]>;

/**
 * Follows at most three redirects, each checked like the first address. A host is resolved once and
 * its addresses pinned into the socket, so that a name cannot change between the check and the
 * connection. Another origin gets no Authorization header.
 */
export function openEgress(policy: EgressPolicy, resolve: Resolve = resolveHere): Egress {
  return async (url, request) => {
    let at = url;
    let { reach, headers } = request;
    for (let redirects = 0; ; redirects++) {
      const answer = await askOnce({ policy, resolve }, at, {
        ...request,
        reach,
        ...(headers && { headers }),
      });
      const location = REDIRECTS.has(answer.status) ? answer.headers.get("location") : null;
      if (location === null) return answer;
      answer.body.destroy();
      if (redirects === MAX_REDIRECTS) throw new EgressRefused("it redirects again and again");
      const next = URL.parse(location, at.href);
      if (next === null) throw new EgressRefused("it redirects to nowhere");
      if (next.origin !== at.origin) headers = withoutAuthorization(headers);
      if (!isHere(next)) reach = "outside";
      at = next;
    }
  };
}

const REDIRECTS = new Set([301, 302, 303, 307, 308]);
const MAX_REDIRECTS = 3;
/** No byte for this long: the other side is gone. */
const IDLE_MS = 30_000;

async function askOnce(
  { policy, resolve }: { readonly policy: EgressPolicy; readonly resolve: Resolve },
  url: URL,
  { method, headers, reach, signal }: EgressRequest,
): Promise<EgressAnswer> {
  insist(mayAsk(url, reach));
  const host = bare(url.hostname);
  const addresses = isIP(host) === 0 ? await inTime(resolve(host), signal) : [host];
  insist(mayConnect(policy, host, addresses, reach));
  const pinned = addresses.map((address) => ({ address, family: isIP(address) }));
  const start = url.protocol === "https:" ? httpsRequest : httpRequest;
  const request = start(url, {
    method,
    headers: { "user-agent": "waybill", ...headers },
    // The addresses that were checked, and no others; one connection for each request.
    lookup: (_name, options, done) => {
      if (options.all) done(null, pinned);
      else done(null, pinned[0]?.address ?? "", pinned[0]?.family ?? 0);
    },
    agent: false,
    timeout: IDLE_MS,
    signal,
  });
  request.on("timeout", () => request.destroy(new Error(`${url.host} is silent`)));
  request.end();
  const [body] = (await once(request, "response")) as [IncomingMessage];
  return { status: body.statusCode ?? 0, headers: headersOf(body), body };
}

/** A resolver that is away is an error, and may be back; one that knows of no such name is an answer. */
async function resolveHere(host: string): Promise<readonly string[]> {
  try {
    return (await lookup(host, { all: true })).map(({ address }) => address);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOTFOUND") return [];
    throw error;
  }
}

/** For work that cannot be stopped: nobody waits for it any more once `signal` is aborted. */
async function inTime<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const left = Promise.withResolvers<never>();
  const onAbort = () => left.reject(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort);
  try {
    return await Promise.race([work, left.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function insist(verdict: Verdict): void {
  if (!verdict.ok) throw new EgressRefused(verdict.because);
}

/** Whether a URL names this machine by an address or by "localhost". */
export function isHere(url: URL): boolean {
  const host = bare(url.hostname);
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

/** An IPv6 address without the brackets that a URL puts around it. */
function bare(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, "");
}

function withoutAuthorization(
  headers: Readonly<Record<string, string>> | undefined,
): Readonly<Record<string, string>> {
  const { authorization: _, ...rest } = headers ?? {};
  return rest;
}

function headersOf(message: IncomingMessage): Headers {
  const headers = new Headers();
  for (const [name, values] of Object.entries(message.headersDistinct)) {
    for (const value of values ?? []) headers.append(name, value);
  }
  return headers;
}
