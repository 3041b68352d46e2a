import { randomUUID } from "node:crypto";
import { AppId } from "../contract/ids.ts";
import { connect } from "../db/client.ts";
import { withoutValues } from "../db/errors.ts";
import { OUTBOX_CHANNEL } from "../db/outbox.ts";
import { readEnv } from "../kit/env.ts";
import { gather } from "../kit/gather.ts";
import { openLog } from "../kit/log.ts";
import { startLoop } from "../kit/loop.ts";
import { closeAll, onTermination } from "../kit/shutdown.ts";
import { openBases } from "./build/base.ts";
import { addressOf, ownAddresses } from "./build/images/own-addresses.ts";
import { openRegistry } from "./build/registry.ts";
import { buildRelease } from "./build/run.ts";
import { openEgress } from "./egress/request.ts";
import { WorkerEnv } from "./env.ts";
import { nodesPass } from "./nodes/run.ts";
import { openQueues, startProcessors } from "./queues.ts";
import { relayOutbox } from "./relay/run.ts";
import { scheduleApps } from "./schedule/run.ts";
import { sweep, tidy } from "./sweep/run.ts";

/** A pass reads all nodes, however many apps it is for. */
const APPS_AT_ONCE = 200;
const RELAY_EVERY_MS = 2_000;
const SWEEP_EVERY_MS = 5_000;
const NODES_EVERY_MS = 5_000;
const TIDY_EVERY_MS = 60_000;

const log = openLog("worker");
const env = readEnv(WorkerEnv);
const signal = onTermination();
const { db, listen, close } = connect(env.DATABASE_URL, { max: 8, name: "worker" });
const registry = openRegistry(env.REGISTRY_URL);
const { http_proxy, https_proxy, no_proxy } = env;
const bases = openBases({
  registry,
  workDir: env.WAYBILL_WORK_DIR,
  proxies: { http_proxy, https_proxy, no_proxy },
});
const onError = (error: unknown) => log.error("a pass failed", withoutValues(error));

const queues = await openQueues(env.REDIS_URL, env.WAYBILL_QUEUE_PREFIX, onError);
const build = {
  ...{ db, registry, bases, workDir: env.WAYBILL_WORK_DIR, log, signal },
  egress: openEgress(env.WAYBILL_REGISTRIES_ALLOWED),
  ownAddresses: ownAddresses([
    { host: env.WAYBILL_API_HOST, port: env.WAYBILL_API_PORT },
    addressOf(env.REGISTRY_URL),
  ]),
};
const replaceAfterMs = env.WAYBILL_REPLACE_AFTER;
const processors = startProcessors(
  env.REDIS_URL,
  env.WAYBILL_QUEUE_PREFIX,
  {
    build: async (subject) => {
      const app = await buildRelease(build, subject);
      // The nudge that the build left would come to the same, some milliseconds later.
      if (app) await schedule(app);
    },
    schedule,
  },
  onError,
);
const lookAfter = gather({
  most: APPS_AT_ONCE,
  pass: (apps: readonly AppId[]) => scheduleApps(db, apps, { replaceAfterMs }),
});
async function schedule(subject: string): Promise<void> {
  const outcome = await lookAfter(AppId.parse(subject));
  if (outcome.kind === "failed") throw outcome.error;
  const { againMs } = outcome;
  // A doorbell for what the sweep would find some seconds later.
  if (againMs !== undefined) await queues.add("schedule", subject, `t${randomUUID()}`, againMs);
}
const relay = startLoop({
  everyMs: RELAY_EVERY_MS,
  signal,
  pass: () => relayOutbox(db, queues),
  onError,
});
const worker = randomUUID();
const sweeper = startLoop({
  everyMs: SWEEP_EVERY_MS,
  signal,
  pass: () => sweep({ db, queues, log, worker }),
  onError,
});
const nodes = startLoop({
  everyMs: NODES_EVERY_MS,
  signal,
  pass: nodesPass({
    ...{ db, log, replaceAfterMs },
    ring: (app) => queues.add("schedule", app, `n${randomUUID()}`),
  }),
  onError,
});
const startedAtMs = Date.now();
const tidier = startLoop({
  everyMs: TIDY_EVERY_MS,
  signal,
  pass: () => tidy({ db, log, startedAtMs }),
  onError,
});
await listen(OUTBOX_CHANNEL, relay.wake, relay.wake);
// The nodes need it for their first pod; a failure is only early news, each build asks again.
bases.pause(async () => undefined, signal).catch(onError);
log.info("worker ready", { worker });

signal.addEventListener("abort", async () => {
  const late = await closeAll([
    { name: "relay", close: () => relay.done },
    { name: "sweep", close: () => sweeper.done },
    { name: "nodes", close: () => nodes.done },
    { name: "tidying", close: () => tidier.done },
    { name: "processors", close: processors.close },
    { name: "queues", close: queues.close },
    { name: "database", close },
  ]);
  log.info("worker stopped", { late });
  process.exit(0);
});
