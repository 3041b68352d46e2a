export type CaddyOptions = {
  readonly dataDir: string;
  /** Readable by root only, since whoever reaches the admin socket rules the ingress. */
  readonly runDir: string;
  readonly httpPort: number;
};

export type CaddyPart = {
  readonly program: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly files: readonly { readonly path: string; readonly text: string }[];
  readonly adminSocket: string;
};

/**
 * The ingress. The first start reads the file written here; every later one resumes the last routes
 * that the node-agent gave it, from `dataDir`, so that apps serve again before the agent is up. Pure.
 */
export function caddyPart(o: CaddyOptions): CaddyPart {
  const home = `${o.dataDir}/caddy`;
  const adminSocket = `${o.runDir}/caddy-admin.sock`;
  const config = `${home}/first.json`;
  return {
    program: "/usr/bin/caddy",
    argv: ["run", "--resume", "--config", config],
    env: {
      PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      HOME: home,
      XDG_CONFIG_HOME: `${home}/config`,
      XDG_DATA_HOME: `${home}/data`,
    },
    files: [{ path: config, text: firstConfig(adminSocket, o.httpPort) }],
    adminSocket,
  };
}

function firstConfig(adminSocket: string, httpPort: number): string {
  const noRouteYet = {
    handle: [
      {
        handler: "static_response",
        status_code: 404,
        headers: { "content-type": ["text/plain; charset=utf-8"] },
        body: "No app answers here yet. Deploy one, or ask again in a moment.\n",
      },
    ],
  };
  const config = {
    admin: { listen: `unix/${adminSocket}`, origins: ["localhost"] },
    logging: { logs: { default: { level: "WARN" } } },
    apps: {
      http: {
        servers: {
          waybill: {
            listen: [`:${httpPort}`],
            automatic_https: { disable: true },
            routes: [noRouteYet],
          },
        },
      },
    },
  };
  return `${JSON.stringify(config, undefined, 2)}\n`;
}
