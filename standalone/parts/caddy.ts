export type CaddyOptions = {
  readonly dataDir: string;
  /** Readable by root only, since whoever reaches the admin sockets rules the ingress. */
  readonly runDir: string;
  readonly httpPort: number;
};

export type CaddyProcess = {
  readonly program: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly files: readonly { readonly path: string; readonly text: string }[];
  readonly adminSocket: string;
};

/** The ingress of a node, where `front` passes all requests on to `router` through `ingressSocket`. */
export type CaddyPart = {
  readonly front: CaddyProcess;
  readonly router: CaddyProcess;
  readonly ingressSocket: string;
};

/** What frameworks believe of a proxy, and this one does not say: whoever says it is a client. */
const TOLD_BY_PROXIES = ["Forwarded", "X-Forwarded-Prefix", "X-Forwarded-Ssl", "X-Real-Ip"];

/** How long a request waits for a router that is just starting again. */
const TRY_FOR = "5s";

/**
 * The ingress is two processes, since a Caddy that is given other routes closes the connections that
 * its clients keep, some of them just when a request comes in. People connect to the front, whose
 * configuration never changes; the router behind it is given other routes whenever a pod comes or goes,
 * and nobody keeps a connection to it. The router's first start reads the file written here; every
 * later one resumes the last routes that the node-agent gave it, so that apps serve before the agent
 * is up. Pure.
 */
export function caddyPart({ dataDir, runDir, httpPort }: CaddyOptions): CaddyPart {
  const ingressSocket = `${runDir}/ingress.sock`;
  const front = caddy(`${dataDir}/front`, `${runDir}/front-admin.sock`, {
    listen: `:${httpPort}`,
    handle: passOn(ingressSocket),
    otherwise: says(502, "The ingress is just starting. Ask again in a moment.\n"),
  });
  // Not where the one Caddy of earlier versions had it: an agent of theirs, which lives on until an
  // upgrade has come to the agent, would have the router listen on the front's port.
  const router = caddy(`${dataDir}/caddy`, `${runDir}/router-admin.sock`, {
    listen: `unix/${ingressSocket}`,
    handle: says(503, "The ingress does not know its routes yet. Ask again in a moment.\n"),
  });
  return {
    front,
    router: { ...router, argv: ["run", "--resume", ...router.argv.slice(1)] },
    ingressSocket,
  };
}

type Server = { readonly listen: string; readonly handle: object; readonly otherwise?: object };

function caddy(home: string, adminSocket: string, server: Server): CaddyProcess {
  const config = `${home}/first.json`;
  return {
    program: "/usr/bin/caddy",
    argv: ["run", "--config", config],
    env: {
      PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      HOME: home,
      XDG_CONFIG_HOME: `${home}/config`,
      XDG_DATA_HOME: `${home}/data`,
    },
    files: [{ path: config, text: configText(adminSocket, server) }],
    adminSocket,
  };
}

/** What it says of the client in X-Forwarded-* is its own word; what a client says there is dropped. */
function passOn(socket: string): object {
  return {
    handler: "reverse_proxy",
    upstreams: [{ dial: `unix/${socket}` }],
    load_balancing: { try_duration: TRY_FOR, try_interval: "50ms" },
    headers: { request: { delete: ["Waybill-Again", ...TOLD_BY_PROXIES] } },
    transport: { protocol: "http", compression: false, keep_alive: { enabled: false } },
  };
}

function says(status: number, body: string): object {
  return {
    handler: "static_response",
    status_code: status,
    // Spelled so: by another spelling Caddy adds a second one.
    headers: { "Content-Type": ["text/plain; charset=utf-8"], "Retry-After": ["1"] },
    body,
  };
}

function configText(adminSocket: string, { listen, handle, otherwise }: Server): string {
  const server = {
    listen: [listen],
    automatic_https: { disable: true },
    routes: [{ handle: [handle] }],
    ...(otherwise && { errors: { routes: [{ handle: [otherwise] }] } }),
  };
  const config = {
    admin: { listen: `unix/${adminSocket}`, origins: ["localhost"] },
    logging: { logs: { default: { level: "WARN" } } },
    apps: { http: { servers: { waybill: server } } },
  };
  return `${JSON.stringify(config, undefined, 2)}\n`;
}
