import { isIPv6 } from "node:net";

/** Who answers for an app: its ready pods here and those of other nodes, as `ip:port` in a stable order. */
export type AppProxy = {
  readonly hosts: readonly string[];
  readonly upstreams: readonly string[];
  /** Doors of other nodes (see doors.ts), whether their pods are ready or not. */
  readonly remote: readonly string[];
};

/* What ingresses tell one another, and no pod ever sees. */

/** Asks a door whether its pod takes requests. */
export const CHECK = "Waybill-Check";
/** How many ingresses a request has come through. */
export const HOP = "Waybill-Hop";
/** How often it has begun anew, a letter each time: see errors.ts. */
export const AGAIN = "Waybill-Again";
/**
 * Proves to a door that an ingress asks. By its standard this header is for the next hop alone: every Caddy,
 * also of a node where Waybill knows no key yet, drops it by itself from what it passes on and from its log.
 */
export const KEY = "Proxy-Authorization";

/** What stands there. */
export function keyText(ingressKey: string): string {
  return `Bearer ${ingressKey}`;
}

/**
 * How long a request waits for a pod that is just starting again, or for another one: as long as a
 * process needs that crashed, and not so long that requests for an app that is down pile up.
 */
export const TRY_FOR_SECONDS = 5;
const TRY_EVERY = "50ms";
/**
 * What is tried again: what no pod can have got. Caddy 2.6 by itself lets only a GET wait for a pod
 * while it knows of none that takes it, and any request where no connection comes about.
 */
const TRY_AGAIN = [
  { method: ["GET"] },
  { expression: "{http.reverse_proxy.upstream.hostport} == null" },
];
const DIAL_TIMEOUT = "2s";
/** One node's questions to all doors that it knows; in a large fleet each is asked less often. */
const CHECKS_PER_SECOND = 200;

/**
 * Who asks is what the request says when it gets here, from this node's front or of another's: for Caddy
 * itself it is whoever brings it. A pod is told the same, whichever way the request took.
 */
export const FORWARDED = {
  "X-Forwarded-For": ["{http.request.header.X-Forwarded-For}"],
  "X-Forwarded-Host": ["{http.request.header.X-Forwarded-Host}"],
  "X-Forwarded-Proto": ["{http.request.header.X-Forwarded-Proto}"],
  // Of the Host header, and empty where that has none: then the scheme's own port is meant.
  "X-Forwarded-Port": ["{http.request.port}"],
};

export type Asking = {
  /** How many questions to doors this ingress has in all. */
  readonly asks: number;
  /** Undefined where the api tells none: then only its own doors believe this ingress. */
  readonly ingressKey: string | undefined;
};

/** Passes requests on to doors, which say themselves whether they take any. Pure. */
export function doorsProxy(
  hosts: readonly string[],
  doors: readonly string[],
  { asks, ingressKey }: Asking,
  hop = 1,
): object {
  const key = ingressKey !== undefined && { [KEY]: [keyText(ingressKey)] };
  return {
    ...nearProxy(doors),
    headers: {
      request: { set: { ...FORWARDED, [HOP]: [String(hop)], ...key }, delete: [CHECK] },
    },
    health_checks: {
      // A door that cannot be reached costs one request its dial timeout, and not five.
      passive: { fail_duration: "1s", max_fails: 1 },
      active: {
        uri: "/",
        headers: { Host: hosts.slice(0, 1), [CHECK]: ["1"] },
        interval: `${Math.ceil(asks / CHECKS_PER_SECOND)}s`,
        timeout: "2s",
      },
    },
    // A connection that is kept may be closed by the other ingress's reload just when a POST is sent.
    transport: { protocol: "http", dial_timeout: DIAL_TIMEOUT, keep_alive: { enabled: false } },
  };
}

/** Passes requests on to pods of this node. */
export function nearProxy(upstreams: readonly string[]): object {
  return {
    handler: "reverse_proxy",
    upstreams: upstreams.map((dial) => ({ dial })),
    headers: { request: { set: FORWARDED, delete: [CHECK, HOP, AGAIN] } },
    load_balancing: {
      selection_policy: { policy: "least_conn" },
      try_duration: `${TRY_FOR_SECONDS}s`,
      try_interval: TRY_EVERY,
      retry_match: TRY_AGAIN,
    },
    health_checks: { passive: { fail_duration: "1s", max_fails: 5 } },
    transport: {
      protocol: "http",
      dial_timeout: DIAL_TIMEOUT,
      keep_alive: { idle_timeout: "10s" },
    },
  };
}

export function plainText(
  status: number | string,
  body: string,
  headers: Record<string, string[]> = {},
): object {
  return {
    handler: "static_response",
    status_code: status,
    // Spelled so: by another spelling Caddy adds a second one.
    headers: { "Content-Type": ["text/plain; charset=utf-8"], ...headers },
    body,
  };
}

/** How Caddy dials a port of an address. */
export function hostPort(address: string, port: number): string {
  return isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`;
}
