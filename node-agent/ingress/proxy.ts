import { isIPv6 } from "node:net";

/** Who answers for an app: its ready pods here and those of other nodes, as `ip:port` in a stable order. */
export type AppProxy = {
  readonly hosts: readonly string[];
  readonly upstreams: readonly string[];
  /** Doors of other nodes (see doors.ts), whether their pods are ready or not. */
  readonly remote: readonly string[];
};

/** Asks a door whether its pod takes requests; no pod ever sees it. */
export const CHECK = "Waybill-Check";
/** How many ingresses a request has come through. */
export const HOP = "Waybill-Hop";

/** How long a request waits for a pod that is just starting again, or for another one. */
const TRY_FOR = "5s";
const TRY_EVERY = "50ms";
const DIAL_TIMEOUT = "2s";
/** One node's questions to all doors that it knows; in a large fleet each is asked less often. */
const CHECKS_PER_SECOND = 200;

/** Passes requests on to the app's pods. `asks`: how many questions to doors this ingress has in all. Pure. */
export function appProxy(
  to: AppProxy,
  said: { readonly asks: number; readonly hop?: number },
): object {
  const { hop = 1 } = said;
  // Of the Host header, and empty where that has none: then the scheme's own port is meant.
  const headers = { "X-Forwarded-Port": ["{http.request.port}"] };
  if (to.remote.length === 0)
    return nearProxy(to.upstreams, { set: headers, delete: [CHECK, HOP] });
  return {
    ...nearProxy([...to.upstreams, ...to.remote], {
      set: { ...(hop === 1 && headers), [HOP]: [String(hop)] },
      delete: [CHECK],
    }),
    health_checks: {
      // A door that cannot be reached costs one request its dial timeout, and not five.
      passive: { fail_duration: "1s", max_fails: 1 },
      active: {
        uri: "/",
        headers: { Host: to.hosts.slice(0, 1), [CHECK]: ["1"] },
        interval: `${Math.ceil(said.asks / CHECKS_PER_SECOND)}s`,
        timeout: "1s",
      },
    },
    // A connection that is kept may be closed by the other ingress's reload just when a POST is sent.
    transport: { protocol: "http", dial_timeout: DIAL_TIMEOUT, keep_alive: { enabled: false } },
  };
}

/** Passes requests on to pods of this node. */
export function nearProxy(upstreams: readonly string[], request: object): object {
  return {
    handler: "reverse_proxy",
    upstreams: upstreams.map((dial) => ({ dial })),
    headers: { request },
    load_balancing: {
      selection_policy: { policy: "least_conn" },
      try_duration: TRY_FOR,
      try_interval: TRY_EVERY,
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
  status: number,
  body: string,
  headers: Record<string, string[]> = {},
): object {
  return {
    handler: "static_response",
    status_code: status,
    headers: { "content-type": ["text/plain; charset=utf-8"], ...headers },
    body,
  };
}

/** How Caddy dials a port of an address. */
export function hostPort(address: string, port: number): string {
  return isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`;
}
