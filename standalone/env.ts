import { isIP } from "node:net";
import { resolve } from "node:path";
import { z } from "zod";
import { readEnv } from "../kit/env.ts";
import { holdsNodePorts, NODE_PORTS } from "./ports.ts";

const Port = z.coerce
  .number("must be a port number")
  .int("must be a port number")
  .min(1, "must be a port from 1 to 65535")
  .max(65_535, "must be a port from 1 to 65535")
  .refine((port) => !holdsNodePorts(port), notOfNodes("must not be"));
/** Of a list such as "8443,9000-9100". */
function rangesIn(text = ""): readonly [number, number][] {
  return text.split(",").map((it) => {
    const [from = 0, to = from] = it.split("-").map(Number);
    return [from, to];
  });
}
function notOfNodes(what: string): string {
  return `${what} from ${NODE_PORTS.first} to ${NODE_PORTS.last}, where nodes take requests from one another`;
}
const Quantity = z
  .string()
  .regex(/^\d+(\.\d+)?(k|M|G|T|Ki|Mi|Gi|Ti)?$/, 'must be a size such as "512Mi" or "1G"');
const HostName = /^[a-z0-9]([-a-z0-9]{0,62})(\.[a-z0-9][-a-z0-9]{0,62})*$/i;
export const urlWith = (...protocols: string[]) =>
  z
    .string()
    .refine(
      (text) => protocols.includes(URL.parse(text)?.protocol ?? ""),
      `must be a URL that starts with ${protocols.join("// or ")}//`,
    )
    .optional();

/** Checked in shape here, before anything is started; the programs that it is for read it. */
const listOf = (entry: RegExp, message: string) =>
  z
    .string()
    .refine(
      (text) => text.split(",").every((it) => /^\s*$/.test(it) || entry.test(it.trim())),
      message,
    )
    .optional();

/** What a client on this machine reads as well. */
const Where = {
  WAYBILL_DATA_DIR: z
    .string()
    .regex(/^[^:,\\]+$/, "must hold no colon, comma or backslash: overlayfs takes no such path")
    .default("/var/lib/waybill"),
  WAYBILL_API_HOST: z
    .string()
    .refine((host) => isIP(host) !== 0 || HostName.test(host), "must be an address or a name")
    .default("127.0.0.1"),
  WAYBILL_API_PORT: Port.default(7070),
};

export const HTTP_PORT = 8080;

/** What a node reads, here or on a host of its own. */
export const NodeVariables = {
  WAYBILL_DATA_DIR: Where.WAYBILL_DATA_DIR,
  WAYBILL_HTTP_PORT: Port.optional(),
  WAYBILL_NODE_MEMORY: Quantity.optional(),
  WAYBILL_NODE_CPU: z
    .string()
    .regex(/^\d+(\.\d+)?m?$/, 'must be a number of cores such as "2" or "500m"')
    .optional(),
  WAYBILL_NODE_ADDRESS: z
    .string()
    .refine(
      (text) => isIP(text) !== 0 && !/^(0|127)\.|^::1?$/.test(text),
      "must be an IP address that other hosts reach",
    )
    .optional(),
  WAYBILL_HOST_PATHS: listOf(/^\//, "must be absolute paths, separated by commas"),
  WAYBILL_HOST_PORTS: listOf(
    /^\d{1,5}(-\d{1,5})?$/,
    'must be ports and ranges such as "8443,9000-9100"',
  ).refine(
    (text) => !rangesIn(text).some((it) => holdsNodePorts(...it)),
    notOfNodes("must hold no port"),
  ),
};

const Variables = z
  .object({
    ...Where,
    ...NodeVariables,
    WAYBILL_HTTP_PORT: Port.default(HTTP_PORT),
    WAYBILL_APPS_DOMAIN: z.string().regex(HostName, "must be a domain name").default("localhost"),
    DATABASE_URL: urlWith("postgres:", "postgresql:"),
    REDIS_URL: urlWith("redis:", "rediss:"),
    REGISTRY_URL: urlWith("http:", "https:"),
    CONTAINER_RUNTIME_ENDPOINT: urlWith("unix:"),
    WAYBILL_REGISTRIES_ALLOWED: listOf(
      /^[-\w.:]+(\/\d{1,3})?$/,
      'must be hosts and CIDRs such as "registry.corp.example,10.1.0.0/16"',
    ),
    WAYBILL_REPLACE_AFTER: z
      .string()
      .regex(/^[1-9]\d{0,5}(s|m|h)$/, 'must be a duration such as "5m"')
      .optional(),
    WAYBILL_MAX_ARTIFACT: Quantity.default("1Gi"),
  })
  .refine((read) => read.WAYBILL_API_PORT !== read.WAYBILL_HTTP_PORT, {
    path: ["WAYBILL_HTTP_PORT"],
    message: "must differ from WAYBILL_API_PORT",
  });

/** What the operator chose; `undefined` means the embedded part, or what the machine offers. */
export type Settings = {
  readonly dataDir: string;
  readonly apiHost: string;
  readonly apiPort: number;
  readonly httpPort: number;
  readonly appsDomain: string;
  readonly databaseUrl: string | undefined;
  readonly redisUrl: string | undefined;
  readonly registryUrl: string | undefined;
  readonly runtimeEndpoint: string | undefined;
  readonly nodeMemory: string | undefined;
  readonly nodeCpu: string | undefined;
  readonly nodeAddress: string | undefined;
  readonly hostPaths: string | undefined;
  readonly hostPorts: string | undefined;
  readonly registriesAllowed: string | undefined;
  readonly replaceAfter: string | undefined;
  readonly maxArtifact: string;
  /** Variables of the machine that the worker's way out needs: apt's proxies, and certificates. */
  readonly outbound: Readonly<Record<string, string>>;
};

/** An empty variable counts as unset. */
export function setOnes(
  source: Readonly<Record<string, string | undefined>> = process.env,
): Readonly<Record<string, string | undefined>> {
  return Object.fromEntries(Object.entries(source).filter(([, value]) => value !== ""));
}

export function outboundOf(
  set: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    OUTBOUND.flatMap((name) => (set[name] === undefined ? [] : [[name, set[name]]])),
  );
}

const OUTBOUND = ["http_proxy", "https_proxy", "no_proxy", "NODE_EXTRA_CA_CERTS"];

/** Reads section 9's variables. Throws one error that names every bad one. */
export function readSettings(source?: Readonly<Record<string, string | undefined>>): Settings {
  const set = setOnes(source);
  const read = readEnv(Variables, set);
  return {
    dataDir: resolve(read.WAYBILL_DATA_DIR),
    apiHost: read.WAYBILL_API_HOST,
    apiPort: read.WAYBILL_API_PORT,
    httpPort: read.WAYBILL_HTTP_PORT,
    appsDomain: read.WAYBILL_APPS_DOMAIN,
    databaseUrl: read.DATABASE_URL,
    redisUrl: read.REDIS_URL,
    registryUrl: read.REGISTRY_URL,
    runtimeEndpoint: read.CONTAINER_RUNTIME_ENDPOINT,
    nodeMemory: read.WAYBILL_NODE_MEMORY,
    nodeCpu: read.WAYBILL_NODE_CPU,
    nodeAddress: read.WAYBILL_NODE_ADDRESS,
    hostPaths: read.WAYBILL_HOST_PATHS,
    hostPorts: read.WAYBILL_HOST_PORTS,
    registriesAllowed: read.WAYBILL_REGISTRIES_ALLOWED,
    replaceAfter: read.WAYBILL_REPLACE_AFTER,
    maxArtifact: read.WAYBILL_MAX_ARTIFACT,
    outbound: outboundOf(set),
  };
}

/** What a client on this machine is told: where the api is, and whose token it has. */
export function readClientEnv(source?: Readonly<Record<string, string | undefined>>): {
  readonly url: string;
  readonly token: string | undefined;
  readonly dataDir: string;
} {
  const read = readEnv(ClientVariables, setOnes(source));
  const here = { apiHost: read.WAYBILL_API_HOST, apiPort: read.WAYBILL_API_PORT };
  return {
    url: read.WAYBILL_URL ?? apiUrl(here),
    token: read.WAYBILL_TOKEN,
    dataDir: resolve(read.WAYBILL_DATA_DIR),
  };
}

const ClientVariables = z.object({
  WAYBILL_URL: z.url({ protocol: /^https?$/ }).optional(),
  WAYBILL_TOKEN: z.string().optional(),
  ...Where,
});

/** Where a program on this machine reaches the api, also when it listens on every address. */
export function apiUrl(settings: Pick<Settings, "apiHost" | "apiPort">): string {
  const everywhere: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "::1" };
  const host = everywhere[settings.apiHost] ?? settings.apiHost;
  return `http://${isIP(host) === 6 ? `[${host}]` : host}:${settings.apiPort}`;
}
