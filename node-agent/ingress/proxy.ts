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

/** Who asks is what this node's front says: for Caddy itself whoever comes through a socket has no address. */
export const FORWARDED = {
  "X-Forwarded-For": ["{http.request.header.X-Forwarded-For}"],
  "X-Forwarded-Host": ["{http.request.header.X-Forwarded-Host}"],
  "X-Forwarded-Proto": ["{http.request.header.X-Forwarded-Proto}"],
  // Of the Host header, and empty where that has none: then the scheme's own port is meant.
  "X-Forwarded-Port": ["{http.request.port}"],
};

/** Passes requests on to the app's pods. `asks`: how many questions to doors this ingress has in all. Pure. */
export function appProxy(
  to: AppProxy,
  said: { readonly asks: number; readonly hop?: number },
): object {
  const { hop = 1 } = said;
  if (to.remote.length === 0) return nearProxy(to.upstreams, FORWARDED);
  return {
    ...nearProxy([...to.upstreams, ...to.remote]),
    headers: {
      request: {
        set: { ...(hop === 1 && FORWARDED), [HOP]: [String(hop)] },
        delete: [CHECK, AGAIN],
      },
    },
    health_checks: {
      // A door that cannot be reached costs one request its dial timeout, and not five.
      passive: { fail_duration: "1s", max_fails: 1 },
      active: {
        uri: "/",
        headers: { Host: to.hosts.slice(0, 1), [CHECK]: ["1"] },
        interval: `${Math.ceil(said.asks / CHECKS_PER_SECOND)}s`,
        timeout: "2s",
      },
    },
    // A connection that is kept may be closed by the other ingress's reload just when a POST is sent.
    transport: { protocol: "http", dial_timeout: DIAL_TIMEOUT, keep_alive: { enabled: false } },
  };
}

/** Passes requests on to pods of this node. */
export function nearProxy(upstreams: readonly string[], set: object = {}): object {
  return {
    handler: "reverse_proxy",
    upstreams: upstreams.map((dial) => ({ dial })),
    headers: { request: { set, delete: [CHECK, HOP, AGAIN] } },
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
