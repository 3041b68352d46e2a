import { askingDoors, type Door, doorServer, doorsTo } from "./doors.ts";
import { errorRoutes } from "./errors.ts";
import { type AppProxy, type Asking, doorsProxy, nearProxy, plainText } from "./proxy.ts";

/** What the ingress is to do for an app: where its requests go, and the doors to its pods here. */
export type IngressRoute = AppProxy & {
  readonly app: string;
  readonly doors: readonly Door[];
};

export type IngressPlan = {
  readonly adminSocket: string;
  /** Where this node's front passes requests on to. */
  readonly ingressSocket: string;
  readonly routes: readonly IngressRoute[];
  /** Who may come in at the doors. */
  readonly peers: readonly string[];
  /** Who is believed there, and what this ingress shows at others'. */
  readonly ingressKey?: string | undefined;
};

/**
 * Caddy's whole configuration, as JSON. Pure; the same routes give the same text.
 *
 * Caddy tries a request again only where no pod can have got it (no connection came about) or where
 * it is a GET. It overwrites a client's X-Forwarded-* headers, and passes streams on as they come.
 */
export function caddyConfig(plan: IngressPlan): object {
  const routes = plan.routes.filter((it) => it.hosts.length > 0);
  const asking = { ingressKey: plan.ingressKey, asks: asksIn(routes) };
  const said = { ...plan, ...asking };
  const doors = routes.flatMap((route) =>
    route.doors.map((door) => [`door-${door.port}`, doorServer(door, route, said)]),
  );
  return {
    admin: { listen: `unix/${plan.adminSocket}`, origins: ["localhost"] },
    logging: { logs: { default: { level: "WARN" } } },
    apps: {
      http: {
        servers: {
          waybill: {
            listen: [`unix/${plan.ingressSocket}`],
            automatic_https: { disable: true },
            routes: [...routes.map((it) => appRoute(it, asking)), UNKNOWN_HOST],
            errors: errorRoutes(plan.ingressSocket),
          },
          ...Object.fromEntries(doors),
        },
      },
    },
  };
}

/** The addresses that a configuration sends requests to, wherever in it they stand; not its own socket. */
export function upstreamsIn(config: unknown): ReadonlySet<string> {
  const found = new Set<string>();
  const visit = (value: unknown): void => {
    if (value === null || typeof value !== "object") return;
    if ("dial" in value && typeof value.dial === "string" && !value.dial.startsWith("unix/"))
      found.add(value.dial);
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

function appRoute(route: IngressRoute, asking: Asking): object {
  return { match: [{ host: route.hosts }], handle: [appHandler(route, asking)], terminal: true };
}

function appHandler(route: IngressRoute, asking: Asking): object {
  const doors = doorsTo(route);
  if (doors !== undefined) return doorsProxy(route.hosts, doors, asking);
  return route.upstreams.length > 0 ? nearProxy(route.upstreams) : nobodyReady(route.app);
}

/** How many questions are asked: of each door, and by each door here that passes on, again. */
function asksIn(routes: readonly IngressRoute[]): number {
  return routes.reduce(
    (sum, it) => sum + (doorsTo(it)?.length ?? 0) + it.remote.length * askingDoors(it, it.doors),
    0,
  );
}

function nobodyReady(app: string): object {
  const text = `The app "${app}" has no ready pod right now. Ask again in a moment.\n`;
  return plainText(503, text, { "Retry-After": ["1"] });
}
