import type { NodeReport } from "../contract/node/protocol.ts";
import { effectiveRequests } from "../contract/pod/requests.ts";
import { causeChain, type Log } from "../kit/log.ts";
import { startLoop } from "../kit/loop.ts";
import { executors } from "./act/act.ts";
import { openHands } from "./act/hands.ts";
import type { ApiClient } from "./api/client.ts";
import { followDesired } from "./api/follow.ts";
import { openSilence, type Silence } from "./api/silence.ts";
import { openCleaner } from "./clean/clean.ts";
import { openImageCollector } from "./clean/clean-images.ts";
import type { AgentEnv } from "./env.ts";
import { followExecs, runningId } from "./exec/follow.ts";
import { type Health, serveHealth } from "./health.ts";
import { ensureNodeCgroup, weighPodCgroup } from "./host/cgroups.ts";
import { keepQueuedConnections } from "./host/kernel.ts";
import { openIngress } from "./ingress/keeper.ts";
import { rotateLogs } from "./logs/rotate.ts";
import { openLogShipper } from "./logs/shipper.ts";
import { openObserver } from "./observe.ts";
import { openParts, type Parts } from "./parts.ts";
import { openProbeWatch } from "./probes/watch.ts";
import { openNodeFacts } from "./report/node-facts.ts";
import { openReporter } from "./report/reporter.ts";
import { openUsageMeter } from "./report/usage.ts";
import { openNodePass } from "./run.ts";
import { openCri } from "./runtime/cri.ts";
import type { Runtime } from "./runtime/runtime.ts";
import { artifactsInUse } from "./volumes/artifact/in-use.ts";
import { openPurger } from "./volumes/purge.ts";

const RELIST_MS = 1_000;
const LOGS_EVERY_MS = 2_000;
const CLEAN_EVERY_MS = 60_000;
const PURGE_EVERY_MS = 5_000;
/** As often as a node reports anyway: usage alone makes no report of its own. */
const MEASURE_EVERY_MS = 10_000;

/**
 * Runs the agent until `signal` is aborted and its loops have ended. Pods, routes and volumes are
 * then left exactly as they are.
 */
export async function runAgent(
  env: AgentEnv,
  signal: AbortSignal,
  log: Log,
  openRuntime: (endpoint: string, installation: string) => Runtime = openCri,
): Promise<void> {
  const startedAtMs = Date.now();
  const refused = await keepQueuedConnections();
  if (refused !== undefined)
    log.warn("a request may fail while routes change", { because: refused });
  const parts = await openParts(env, log, openRuntime);
  await weighGroups(parts).catch((error) =>
    log.error("what the host does may slow its pods down", error),
  );
  const loops = startLoops({ env, signal, log, startedAtMs, ...parts });
  const health = await serveHealth(env.WAYBILL_AGENT_HEALTH, loops.health);
  log.info("agent ready", { version: parts.facts.version });
  await loops.done;
  await parts.client.leave();
  health.close();
  await parts.runtime.close();
}

/** Those of pods as well that an agent started which gave them no weight. */
async function weighGroups({ places, facts, ledger }: Parts): Promise<void> {
  await ensureNodeCgroup(places.cgroup, facts.capacity.cpuMillis);
  for (const { metadata, spec } of ledger.current()?.pods ?? [])
    await weighPodCgroup(places.podCgroup(metadata.uid), effectiveRequests(spec).cpuMillis);
}

type Setting = Parts & {
  readonly env: AgentEnv;
  readonly signal: AbortSignal;
  readonly log: Log;
  readonly startedAtMs: number;
};

/** Nothing is awaited in here, so that every loop holds all the others before its first turn. */
function startLoops(setting: Setting) {
  const { env, signal, log, places, runtime, ledger, client } = setting;
  const wake = () => loop.wake();
  const runtimeSilence = openSilence();
  const reporter = openReporter({ client, signal, log });
  const watch = openProbeWatch({
    execSync: runtime.execSync,
    kept: setting.kept,
    onChange: wake,
    onError: (error) => log.error("a container is asked no more by one of its probes", error),
  });
  const ingress = openIngress({
    adminSocket: env.WAYBILL_CADDY_ADMIN,
    ingressSocket: env.WAYBILL_INGRESS_SOCKET,
    signal,
    log,
    onChange: wake,
  });
  const images = openImageCollector({ runtime, view: () => pass.lastView(), log });
  const hands = openHands({ ...setting, ingress, makeRoom: images.collectAll });
  const purger = openPurger(places, () => pass.lastView());
  const node = openNodeFacts(setting.facts, runtime, purger, (error) =>
    log.error("the runtime does not tell its handlers; those that it told last stand", error),
  );
  const meter = openUsageMeter(runtime.stats);
  const observe = openObserver(
    runtime,
    (id, error) =>
      log.error("the runtime does not tell about one; its pod is left as it is", error, { id }),
    hands.notes,
  );
  const pass = openNodePass({
    ...setting,
    observe: listening(runtimeSilence, async () => {
      await node.refresh();
      return observe();
    }),
    watch,
    ingress,
    executors: executors(hands),
    facts: () => ({ ...node.facts(), ...addressOf(env, client) }),
    usage: meter.usage,
    confirmed: () => api.confirmed(),
    offer: reporter.offer,
    wake,
  });
  const repeat = (what: string, everyMs: number, turn: () => Promise<void>) =>
    startLoop({
      everyMs,
      signal,
      pass: turn,
      onError: (error) => log.error(`${what} failed`, error),
    });
  const shipper = openLogShipper({ client, logsDir: places.logsDir, signal, log });
  const cleaning = { images, places, view: pass.lastView, isShipped: shipper.isShipped };
  const loop = repeat("a pass", RELIST_MS, pass.run);
  const rotating = repeat("the logs' rotation", LOGS_EVERY_MS, () =>
    rotateLogs({ runtime, places, seen: pass.lastSeen }),
  );
  const cleaner = repeat("cleaning up", CLEAN_EVERY_MS, openCleaner(cleaning));
  const purging = repeat("purging volumes", PURGE_EVERY_MS, purger.pass);
  const collecting = repeat("collecting artifacts", CLEAN_EVERY_MS, () =>
    hands.artifacts.keepOnly(() => {
      const view = pass.lastView();
      return view && artifactsInUse(view);
    }),
  );
  const measuring = repeat("measuring usage", MEASURE_EVERY_MS, meter.measure);
  const api = openSilence();
  const following = followDesired({ client, ledger, silence: api, signal, log, onNews: wake });
  const commands = followExecs({
    client,
    runtime,
    places,
    running: (pod, container) => runningId(pass.lastSeen(), pod, container),
    signal,
    log,
  });
  const all = [
    loop,
    rotating,
    cleaner,
    reporter,
    ingress,
    shipper,
    purging,
    collecting,
    measuring,
  ].map((it) => it.done);
  const done = Promise.all([...all, following, commands]).finally(() => watch.close());
  return { done, health };

  function health(): Health {
    const sinceMs = loop.sinceGoodPassMs();
    const at = Number.isFinite(sinceMs) ? new Date(Date.now() - sinceMs) : undefined;
    return {
      healthy: sinceMs < 3 * RELIST_MS,
      lastGoodPassAt: at?.toISOString() ?? null,
      ledger: ledger.trouble() ?? null,
      api: api.told() ?? null,
      skew: client.skew() ?? null,
      confirmed: api.confirmed(),
      runtime: runtimeSilence.told() ?? null,
    };
  }
}

/** What the operator says counts; what the way to the api shows may be a network of its own. */
function addressOf(env: AgentEnv, client: ApiClient): Pick<NodeReport, "address"> {
  const address = env.WAYBILL_NODE_ADDRESS ?? client.address();
  return address === undefined ? {} : { address };
}

/** The same question, and a note of whether it was answered. */
function listening<T>(silence: Silence, ask: () => Promise<T>): () => Promise<T> {
  return async () => {
    try {
      const answer = await ask();
      silence.heard();
      return answer;
    } catch (error) {
      silence.missed(causeChain(error).at(-1)?.split("\n")[0] ?? "");
      throw error;
    }
  };
}
