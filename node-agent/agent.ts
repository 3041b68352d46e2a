import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { availableParallelism, totalmem } from "node:os";
import type { Log } from "../kit/log.ts";
import { startLoop } from "../kit/loop.ts";
import { executors } from "./act.ts";
import { openCleaner, rotateLogs } from "./clean.ts";
import { type ApiClient, openApiClient } from "./client.ts";
import type { AgentEnv } from "./env.ts";
import { followDesired } from "./follow.ts";
import { serveHealth } from "./health.ts";
import { capacity } from "./host/capacity.ts";
import { keepQueuedConnections } from "./host/kernel.ts";
import { dnsConfig } from "./host/resolv-conf.ts";
import { openImageStore, writeRegistryHosts } from "./images.ts";
import { openIngress } from "./ingress/keeper.ts";
import { type Ledger, openLedger } from "./ledger.ts";
import { openObserver } from "./observe.ts";
import { type Places, placesIn } from "./places.ts";
import { openProbeWatch } from "./probes/watch.ts";
import { openReporter } from "./reporter.ts";
import { openNodePass, type PassDeps } from "./run.ts";
import { openCri } from "./runtime/cri.ts";
import type { Runtime } from "./runtime/runtime.ts";

const RELIST_MS = 1_000;
const LOGS_EVERY_MS = 2_000;
const CLEAN_EVERY_MS = 60_000;
const WITHDRAW_MS = 2_000;

/**
 * Runs the agent until `signal` is aborted and its loops have ended. Pods, routes and volumes are
 * then left exactly as they are.
 */
export async function runAgent(env: AgentEnv, signal: AbortSignal, log: Log): Promise<void> {
  const startedAtMs = Date.now();
  const places = placesIn(env.WAYBILL_AGENT_DIR, env.WAYBILL_CGROUP_PARENT);
  const facts = { bootId: await bootId(), version: await ownVersion(), capacity: offered(env) };
  const refused = await keepQueuedConnections();
  if (refused !== undefined)
    log.warn("a request may fail while routes change", { because: refused });
  const parts = await openParts(env, places, facts.version, log);
  const loops = startLoops({ env, signal, log, places, facts, startedAtMs, ...parts });
  const health = await serveHealth(
    env.WAYBILL_AGENT_HEALTH,
    () => Date.now() - loops.lastGoodPassAtMs() < 3 * RELIST_MS,
  );
  log.info("agent ready", { version: facts.version });
  await loops.done;
  health.close();
  parts.runtime.close();
}

type Parts = { readonly runtime: Runtime; readonly ledger: Ledger; readonly client: ApiClient };

async function openParts(env: AgentEnv, places: Places, version: string, log: Log): Promise<Parts> {
  const onBroken = (setAside: string, error: unknown) =>
    log.error("the ledger cannot be read; nothing is touched until the api answers", error, {
      setAside,
    });
  await writeRegistryHosts(env.WAYBILL_REGISTRY_HOSTS_DIR, env.WAYBILL_API_URL);
  return {
    runtime: openCri(env.CONTAINER_RUNTIME_ENDPOINT, places.installation),
    ledger: await openLedger(places.ledger, onBroken),
    client: await openApiClient({
      apiUrl: env.WAYBILL_API_URL,
      identityFile: places.identity,
      joinTokenFile: env.WAYBILL_JOIN_TOKEN_FILE,
      version,
    }),
  };
}

type Setting = Parts & {
  readonly env: AgentEnv;
  readonly signal: AbortSignal;
  readonly log: Log;
  readonly places: Places;
  readonly facts: PassDeps["facts"];
  readonly startedAtMs: number;
};

/** Nothing is awaited in here, so that every loop holds all the others before its first turn. */
function startLoops(setting: Setting) {
  const { env, signal, log, places, runtime, ledger, client } = setting;
  const wake = () => loop.wake();
  const reporter = openReporter({ client, signal, log });
  const watch = openProbeWatch(wake);
  const ingress = openIngress({
    adminSocket: env.WAYBILL_CADDY_ADMIN,
    httpPort: env.WAYBILL_HTTP_PORT,
    signal,
    log,
    onChange: wake,
  });
  const hands = {
    runtime,
    images: openImageStore(runtime, () => client.identity()?.token),
    places,
    dns: () => dnsConfig(readFileSync("/etc/resolv.conf", "utf8")),
    withdrawn: (ip: string) => ingress.withdrawn(ip, WITHDRAW_MS),
  };
  const pass = openNodePass({
    ...setting,
    observe: openObserver(runtime, (id, error) =>
      log.error("the runtime does not tell about one; its pod is left as it is", error, { id }),
    ),
    watch,
    ingress,
    executors: executors(hands),
    offer: reporter.offer,
    onStepDone: wake,
  });
  const repeat = (what: string, everyMs: number, turn: () => Promise<void>) =>
    startLoop({
      everyMs,
      signal,
      pass: turn,
      onError: (error) => log.error(`${what} failed`, error),
    });
  const cleaning = { runtime, places, view: pass.lastView };
  const loop = repeat("a pass", RELIST_MS, pass.run);
  const rotating = repeat("the logs' rotation", LOGS_EVERY_MS, () => rotateLogs(cleaning));
  const cleaner = repeat("cleaning up", CLEAN_EVERY_MS, openCleaner(cleaning));
  const following = followDesired({ client, ledger, signal, log, onNews: wake });
  const all = [loop, rotating, cleaner, reporter, ingress].map((it) => it.done);
  const done = Promise.all([...all, following]).finally(() => watch.close());
  return { done, lastGoodPassAtMs: loop.lastGoodPassAtMs };
}

async function ownVersion(): Promise<string> {
  const text = await readFile(new URL("../package.json", import.meta.url), "utf8");
  const { version } = JSON.parse(text) as { readonly version: string };
  return version;
}

async function bootId(): Promise<string> {
  return (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
}

function offered(env: AgentEnv) {
  const host = { cpus: availableParallelism(), memoryBytes: totalmem() };
  return capacity(host, { cpu: env.WAYBILL_NODE_CPU, memory: env.WAYBILL_NODE_MEMORY });
}
