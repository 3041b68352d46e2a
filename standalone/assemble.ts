import { apiUrl, type Settings } from "./env.ts";
import type { Installation } from "./installation.ts";
import type { Part } from "./part.ts";
import type { RuntimeHandler } from "./parts/handlers.ts";
import { containerRuntime, ingress } from "./parts/node-side.ts";
import { databaseUrl, type PostgresOptions, postgresPart } from "./parts/postgres.ts";
import { apiPart, nodeAgentPart, type Wiring, workerPart } from "./parts/programs.ts";
import { redisPart, redisUrl } from "./parts/redis.ts";
import { registryPart, registryUrl } from "./parts/registry.ts";
import type { Places } from "./places.ts";

/** What was found on this machine that parts are built from. */
export type Surroundings = {
  readonly root: string;
  readonly nodeBinary: string;
  readonly postgresBin: string;
  /** Ways of running pods, beside runc's. */
  readonly handlers: readonly RuntimeHandler[];
  /** The folders of the unprivileged parts, on paths that they can walk. */
  readonly homes: {
    readonly postgres: string;
    readonly redis: string;
    readonly registry: string;
  };
};

/** Everything that one installation runs. */
export type Assembly = {
  /** Embedded stores and the node's side: nothing of ours has to run before them. */
  readonly foundation: readonly Part[];
  /** Not beside the others: before an upgrade one of them had its port. */
  readonly front: Part;
  readonly api: Part;
  readonly worker: Part;
  readonly nodeAgent: Part;
  readonly containerd: Part | undefined;
  /** Where PostgreSQL is embedded: how its cluster is made. */
  readonly postgres: PostgresOptions | undefined;
  readonly wiring: Wiring;
  readonly bridge: string;
};

/** Where an external runtime looks for a registry's hosts unless it was told otherwise. */
const USUAL_HOSTS_DIR = "/etc/containerd/certs.d";

/** The parts of an installation; an external one, named by its variable, takes an embedded one's place. Pure. */
export function assemble(
  settings: Settings,
  installation: Installation,
  places: Places,
  around: Surroundings,
): Assembly {
  const { ports, passwords, id, podCidr } = installation;
  const { dataDir, runDir } = places;
  const postgres: PostgresOptions = {
    bin: around.postgresBin,
    home: around.homes.postgres,
    port: ports.postgres,
    password: passwords.postgres,
    serviceFile: places.databaseService,
  };
  const redis = { home: around.homes.redis, port: ports.redis, password: passwords.redis };
  const registry = {
    home: around.homes.registry,
    port: ports.registry,
    secret: installation.registrySecret,
  };
  const runtime = containerRuntime({ id, dataDir, runDir, podCidr, handlers: around.handlers });
  const caddy = ingress({ dataDir, runDir, httpPort: settings.httpPort });
  const wiring: Wiring = {
    id,
    settings,
    places,
    ...around,
    apiUrl: apiUrl(settings),
    databaseUrl: settings.databaseUrl ?? databaseUrl(postgres),
    redisUrl: settings.redisUrl ?? redisUrl(redis),
    registryUrl: settings.registryUrl ?? registryUrl(registry),
    runtimeEndpoint: settings.runtimeEndpoint ?? runtime.endpoint,
    registryHostsDir: settings.runtimeEndpoint ? USUAL_HOSTS_DIR : runtime.hostsDir,
    caddyAdmin: caddy.adminSocket,
    ingressSocket: caddy.ingressSocket,
    more: {
      ...(settings.nodeAddress !== undefined && { WAYBILL_NODE_ADDRESS: settings.nodeAddress }),
      // The api records it, so that no other node is given the same.
      ...(settings.runtimeEndpoint === undefined && { WAYBILL_POD_RANGE: podCidr }),
    },
  };
  const foundation = [
    ...(settings.databaseUrl ? [] : [postgresPart(postgres)]),
    ...(settings.redisUrl ? [] : [redisPart(redis)]),
    ...(settings.registryUrl ? [] : [registryPart(registry)]),
    ...(settings.runtimeEndpoint ? [] : [runtime.part]),
    caddy.router,
  ];
  return {
    foundation,
    front: caddy.front,
    api: apiPart(wiring),
    worker: workerPart(wiring),
    nodeAgent: nodeAgentPart(wiring),
    containerd: settings.runtimeEndpoint ? undefined : runtime.part,
    postgres: settings.databaseUrl ? undefined : postgres,
    wiring,
    bridge: runtime.bridge,
  };
}
