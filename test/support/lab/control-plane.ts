import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import postgres from "postgres";
import { exec } from "../../../kit/exec.ts";
import { apiUrl, readSettings } from "../../../standalone/env.ts";
import {
  apiPart,
  databaseProgram,
  type Wiring,
  workerPart,
} from "../../../standalone/parts/programs.ts";
import { placesOf } from "../../../standalone/places.ts";
import { ensureSecretsKey } from "../../../standalone/secrets-key.ts";
import { type CallApi, callApi } from "../call-api.ts";
import { eventually } from "../eventually.ts";
import { type Cluster, startCluster } from "../postgres-cluster.ts";
import { aProgram, type TestProgram } from "../program.ts";
import { startRedis } from "../redis.ts";
import { startRegistry } from "../registry.ts";
import { pushBusybox, pushPause } from "../test-image.ts";

/** The ingress of every host listens on this port of the host's own address. */
export const HTTP_PORT = 8080;

/** One PostgreSQL, Redis and registry, an api and a worker, each as the product starts it. */
export type ControlPlane = AsyncDisposable & {
  readonly url: string;
  readonly token: string;
  readonly call: CallApi;
  readonly api: TestProgram;
  readonly worker: TestProgram;
  readonly postgres: Cluster;
  readonly databaseUrl: string;
  /** Both programs run, and answer. */
  start(): Promise<void>;
  /** As a restart of its machine ends it: all at once, and nobody is told. */
  stop(): Promise<void>;
  /** Has nobody heard from this node for so much longer than is true. */
  age(node: string, seconds: number): Promise<void>;
};

/** Starts it all, the api at this address, with everything it writes in `dir`. */
export async function startControlPlane(
  dir: string,
  at: { readonly address: string; readonly port: number },
): Promise<ControlPlane> {
  const stack = new AsyncDisposableStack();
  try {
    const [cluster, redis, registry] = await Promise.all([
      startCluster().then((it) => stack.use(it)),
      startRedis().then((it) => stack.use(it)),
      startRegistry().then((it) => stack.use(it)),
    ]);
    const databaseUrl = `${cluster.url}/postgres`;
    const stores = { databaseUrl, redisUrl: redis.url, registryUrl: registry.url };
    const wiring = wire(dir, at, stores);
    await Promise.all([
      prepare(wiring),
      pushBusybox(registry.url, "library/busybox"),
      pushPause(registry.url),
    ]);
    const token = (await readFile(wiring.places.adminToken, "utf8")).trim();
    const url = `http://${at.address}:${at.port}`;
    const api = stack.use(aProgram(apiPart(wiring)));
    const worker = stack.use(aProgram(workerPart(wiring)));
    const owned = stack.move();
    const controlPlane = {
      url,
      token,
      call: callApi(url, () => token),
      api,
      worker,
      postgres: cluster,
      databaseUrl,
      start: async () => {
        await Promise.all([api, worker].filter((it) => !it.isRunning()).map(startAndWait));
      },
      stop: async () => {
        await Promise.all([api.end(), worker.end()]);
      },
      age: (node: string, seconds: number) => age(databaseUrl, node, seconds),
      [Symbol.asyncDispose]: () => owned.disposeAsync(),
    };
    await controlPlane.start();
    return controlPlane;
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

type Stores = Pick<Wiring, "databaseUrl" | "redisUrl" | "registryUrl">;

/** What the product's own programs are told where they run in `dir` by themselves. */
export function wire(dir: string, at: { address: string; port: number }, stores: Stores): Wiring {
  const settings = readSettings({
    WAYBILL_DATA_DIR: dir,
    WAYBILL_API_HOST: at.address,
    WAYBILL_API_PORT: String(at.port),
    WAYBILL_HTTP_PORT: String(HTTP_PORT),
  });
  return {
    id: "lab",
    root: join(import.meta.dirname, "../../.."),
    nodeBinary: process.execPath,
    settings,
    places: placesOf(dir, "lab"),
    ...stores,
    apiUrl: apiUrl(settings),
    // Of a node on this machine, which there is none of.
    runtimeEndpoint: "",
    registryHostsDir: "",
    caddyAdmin: "",
    ingressSocket: "",
  };
}

/** Tables, the administrator's token and the key for secrets, as at every start of the product. */
export async function prepare(wiring: Wiring): Promise<void> {
  await mkdir(wiring.places.workDir, { recursive: true });
  await ensureSecretsKey(wiring.places.secretsKey);
  const { program, argv, env } = databaseProgram(wiring);
  await exec(program, argv, { env, timeoutMs: 60_000 });
}

/** Starts it, and waits until it says that it is ready. */
export async function startAndWait(program: TestProgram): Promise<void> {
  const before = program.log().length;
  await program.start();
  await eventually(
    () => {
      const words = program.log().slice(before);
      if (!program.isRunning()) throw new Error(`it ended: ${words}`);
      if (!/"\w+ ready"/.test(words)) throw new Error(`it is not ready: ${words}`);
    },
    { withinMs: 30_000 },
  );
}

async function age(databaseUrl: string, node: string, seconds: number): Promise<void> {
  const sql = postgres(databaseUrl, { max: 1 });
  await sql`
    update node_status set seen_at = seen_at - make_interval(secs => ${seconds})
    from nodes where nodes.id = node_status.node_id and nodes.name = ${node}`;
  await sql.end({ timeout: 5 });
}
