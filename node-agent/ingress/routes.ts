/** What the ingress is to do: one entry an app, with the addresses of its ready pods. */
export type IngressRoute = {
  readonly app: string;
  readonly hosts: readonly string[];
  /** `ip:port`, in a stable order. */
  readonly upstreams: readonly string[];
};

export type IngressPlan = {
  readonly adminSocket: string;
  readonly httpPort: number;
  readonly routes: readonly IngressRoute[];
};

/** How long a request waits for a pod that is just starting again, or for another one. */
const TRY_FOR = "5s";
const TRY_EVERY = "50ms";

/**
 * Caddy's whole configuration, as JSON. Pure; the same routes give the same text.
 *
 * Caddy tries a request again only where no pod can have got it (no connection came about) or where
 * it is a GET. It overwrites a client's X-Forwarded-* headers, and passes streams on as they come.
 */
export function caddyConfig(plan: IngressPlan): object {
  return {
    admin: { listen: `unix/${plan.adminSocket}`, origins: ["localhost"] },
    logging: { logs: { default: { level: "WARN" } } },
    apps: {
      http: {
        servers: {
          waybill: {
            listen: [`:${plan.httpPort}`],
            automatic_https: { disable: true },
            routes: [
              ...plan.routes.filter((it) => it.hosts.length > 0).map(appRoute),
              UNKNOWN_HOST,
            ],
          },
        },
      },
    },
  };
}

/** The addresses that a configuration sends requests to, wherever in it they stand. */
export function upstreamsIn(config: unknown): ReadonlySet<string> {
  const found = new Set<string>();
  const visit = (value: unknown): void => {
    if (value === null || typeof value !== "object") return;
    if ("dial" in value && typeof value.dial === "string") found.add(value.dial);
    for (const inner of Object.values(value)) visit(inner);
  };
  visit(config);
  return found;
}

const UNKNOWN_HOST = {
  handle: [
    plainText(404, "No app answers at this name. GET /v1/apps lists the apps and their URLs.\n"),
  ],
};

function appRoute(route: IngressRoute): object {
  return {
    match: [{ host: route.hosts }],
    handle: [route.upstreams.length > 0 ? proxy(route.upstreams) : nobodyReady(route.app)],
    terminal: true,
  };
}

function proxy(upstreams: readonly string[]): object {
  return {
    handler: "reverse_proxy",
    upstreams: upstreams.map((dial) => ({ dial })),
    // Of the Host header, and empty where that has none: then the scheme's own port is meant.
    headers: { request: { set: { "X-Forwarded-Port": ["{http.request.port}"] } } },
    load_balancing: {
      selection_policy: { policy: "least_conn" },
      try_duration: TRY_FOR,
      try_interval: TRY_EVERY,
    },
    health_checks: { passive: { fail_duration: "1s", max_fails: 5 } },
    transport: {
      protocol: "http",
      dial_timeout: "2s",
      keep_alive: { idle_timeout: "10s" },
    },
  };
}

function nobodyReady(app: string): object {
  const text = `The app "${app}" has no ready pod right now. Ask again in a moment.\n`;
  return { ...plainText(503, text, { "retry-after": ["1"] }) };
}

function plainText(status: number, body: string, headers: Record<string, string[]> = {}): object {
  return {
    handler: "static_response",
    status_code: status,
    headers: { "content-type": ["text/plain; charset=utf-8"], ...headers },
    body,
  };
}
