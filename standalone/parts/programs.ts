import type { Settings } from "../env.ts";
import type { Check, Part, PartName } from "../part.ts";
import type { Places } from "../places.ts";

/** What the operator chose for the node, here or on a host of its own. */
export type NodeSettings = Pick<
  Settings,
  "httpPort" | "nodeMemory" | "nodeCpu" | "hostPaths" | "hostPorts"
>;

/** What the node-agent is told. */
export type NodeWiring = {
  readonly root: string;
  readonly nodeBinary: string;
  readonly settings: NodeSettings;
  readonly places: Places;
  readonly apiUrl: string;
  readonly runtimeEndpoint: string;
  readonly registryHostsDir: string;
  readonly caddyAdmin: string;
  readonly ingressSocket: string;
  /** Variables that only some nodes have. */
  readonly more?: Readonly<Record<string, string>>;
};

/** What our own programs are told: where everything is, embedded or not. */
export type Wiring = NodeWiring & {
  readonly id: string;
  readonly settings: Settings;
  readonly databaseUrl: string;
  readonly redisUrl: string;
  readonly registryUrl: string;
};

/** One of our programs as it is run: its file and its whole environment. */
export type Program = {
  readonly program: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
};

/** A small young generation keeps an idle process small; the rest of the heap grows only when used. */
const SMALL = ["--max-semi-space-size=1"];
/**
 * Thousands of waits at once are more than a smaller young generation holds, and copying them costs a
 * third of its time. The collector is called by `api/node/streaming-fetch.ts`, while bytes pass.
 */
export const API_FLAGS = ["--max-semi-space-size=4", "--max-old-space-size=256", "--expose-gc"];
/** The agent does little and sits on every host: it goes without the optimizing compiler and V8's own threads. */
export const NODE_AGENT_FLAGS = [
  ...SMALL,
  "--optimize-for-size",
  "--no-opt",
  "--single-threaded",
  "--max-old-space-size=128",
];

/** Applies the migrations and makes the tokens; run to its end before api and worker start. */
export function databaseProgram(w: Wiring): Program {
  return node(w, "db/main.ts", [], {
    DATABASE_URL: w.databaseUrl,
    WAYBILL_ADMIN_TOKEN_FILE: w.places.adminToken,
    WAYBILL_JOIN_TOKEN_FILE: w.places.joinToken,
    WAYBILL_NODE_NAME: "local",
  });
}

export function apiPart(w: Wiring): Part {
  const { settings } = w;
  const program = node(w, "api/main.ts", API_FLAGS, {
    DATABASE_URL: w.databaseUrl,
    REGISTRY_URL: w.registryUrl,
    WAYBILL_API_HOST: settings.apiHost,
    WAYBILL_API_PORT: String(settings.apiPort),
    WAYBILL_HTTP_PORT: String(settings.httpPort),
    WAYBILL_APPS_DOMAIN: settings.appsDomain,
    WAYBILL_MAX_ARTIFACT: settings.maxArtifact,
    WAYBILL_SECRETS_KEY_FILE: w.places.secretsKey,
    ...hostPolicy(w),
  });
  const ready = { kind: "http", url: `${w.apiUrl}/healthz` } as const;
  return { ...ours("api", program, ready), ports: [settings.apiPort] };
}

export function workerPart(w: Wiring): Part {
  const { settings } = w;
  const program = node(w, "worker/main.ts", [...SMALL, "--max-old-space-size=384"], {
    ...settings.outbound,
    DATABASE_URL: w.databaseUrl,
    REDIS_URL: w.redisUrl,
    REGISTRY_URL: w.registryUrl,
    WAYBILL_API_HOST: settings.apiHost,
    WAYBILL_API_PORT: String(settings.apiPort),
    WAYBILL_APPS_DOMAIN: settings.appsDomain,
    WAYBILL_HTTP_PORT: String(settings.httpPort),
    WAYBILL_WORK_DIR: w.places.workDir,
    WAYBILL_QUEUE_PREFIX: w.id,
    ...named({
      WAYBILL_REGISTRIES_ALLOWED: settings.registriesAllowed,
      WAYBILL_REPLACE_AFTER: settings.replaceAfter,
    }),
  });
  const part = ours("worker", program, { kind: "log-line", text: '"worker ready"' });
  return { ...part, folders: [{ path: w.places.workDir, mode: "0700" }] };
}

export function nodeAgentPart(w: NodeWiring): Part {
  const program = node(w, "node-agent/main.ts", NODE_AGENT_FLAGS, nodeAgentEnv(w));
  const check = { kind: "http-on-socket", socket: w.places.agentSocket, path: "/healthz" } as const;
  const part = ours("node-agent", program, check);
  return {
    ...part,
    folders: [{ path: w.places.agentDir, mode: "0700" }],
    sockets: [w.places.agentSocket],
  };
}

/** Removes every pod of this installation through its container runtime; run to its end. */
export function nodeAgentDownProgram(w: NodeWiring): Program {
  return node(w, "node-agent/down.ts", [], nodeAgentEnv(w));
}

function nodeAgentEnv(w: NodeWiring): Readonly<Record<string, string>> {
  const { settings, places } = w;
  return {
    WAYBILL_API_URL: w.apiUrl,
    WAYBILL_AGENT_DIR: places.agentDir,
    WAYBILL_JOIN_TOKEN_FILE: places.joinToken,
    CONTAINER_RUNTIME_ENDPOINT: w.runtimeEndpoint,
    WAYBILL_REGISTRY_HOSTS_DIR: w.registryHostsDir,
    WAYBILL_CADDY_ADMIN: w.caddyAdmin,
    WAYBILL_INGRESS_SOCKET: w.ingressSocket,
    WAYBILL_CGROUP_PARENT: places.cgroup,
    WAYBILL_AGENT_HEALTH: places.agentSocket,
    ...named({ WAYBILL_NODE_MEMORY: settings.nodeMemory, WAYBILL_NODE_CPU: settings.nodeCpu }),
    ...hostPolicy(w),
    ...w.more,
  };
}

/** The api asks it of every declaration, and the agent again of every pod. */
function hostPolicy({ settings }: NodeWiring): Readonly<Record<string, string>> {
  return named({ WAYBILL_HOST_PATHS: settings.hostPaths, WAYBILL_HOST_PORTS: settings.hostPorts });
}

function node(
  w: NodeWiring,
  file: string,
  flags: readonly string[],
  env: Readonly<Record<string, string>>,
): Program {
  return {
    program: w.nodeBinary,
    argv: [...flags, `${w.root}/${file}`],
    env: { ...frugal(w), ...env },
  };
}

/**
 * Compiled code of an earlier run spares each process the TypeScript compiler, 17 MiB of memory; one
 * arena for all threads of a process that hardly uses threads spares a few more.
 */
function frugal(w: NodeWiring): Readonly<Record<string, string>> {
  return { NODE_COMPILE_CACHE: w.places.cacheDir, MALLOC_ARENA_MAX: "1" };
}

/** Ours are always started anew: an older one may run older code. */
function ours(name: PartName, program: Program, ready: Check): Part {
  return {
    name,
    ...program,
    folders: [],
    files: [],
    sockets: [],
    memories: [],
    ports: [],
    adopt: false,
    ready,
    readyWithinMs: 60_000,
    stop: { signal: "SIGTERM", graceMs: 15_000 },
  };
}

function named(
  values: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(values).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}
