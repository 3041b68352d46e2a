import { readFile } from "node:fs/promises";
import { availableParallelism, totalmem } from "node:os";
import { dirname, join } from "node:path";
import type { NodeReport } from "../contract/node/protocol.ts";
import type { Log } from "../kit/log.ts";
import { writeRegistryHosts } from "./act/images.ts";
import { type ApiClient, openApiClient } from "./api/client.ts";
import { type NodeKey, openNodeKey } from "./api/node-key.ts";
import { type Ledger, openLedger } from "./disk/ledger.ts";
import { type Outcomes, openOutcomes } from "./disk/outcomes.ts";
import { type Places, placesIn } from "./disk/places.ts";
import { openSession } from "./disk/session.ts";
import type { AgentEnv } from "./env.ts";
import { capacity } from "./host/capacity.ts";
import { type KeptVerdicts, openKeptVerdicts } from "./probes/kept-verdicts.ts";
import { tailOf } from "./report/tails.ts";
import type { Runtime } from "./runtime/runtime.ts";

/** What an agent has in hand before its first turn. */
export type Parts = {
  readonly places: Places;
  readonly facts: Pick<NodeReport, "bootId" | "version" | "capacity">;
  readonly runtime: Runtime;
  readonly ledger: Ledger;
  readonly client: ApiClient;
  readonly key: NodeKey;
  readonly kept: KeptVerdicts;
  readonly outcomes: Outcomes;
};

/** Reads what an agent before this one left, and goes on without what cannot be read. */
export async function openParts(
  env: AgentEnv,
  log: Log,
  openRuntime: (endpoint: string, installation: string) => Runtime,
): Promise<Parts> {
  const places = placesIn(env.WAYBILL_AGENT_DIR, env.WAYBILL_CGROUP_PARENT);
  const version = await ownVersion();
  const boot = await bootId(env.WAYBILL_BOOT_ID_FILE);
  const key = await openNodeKey(places.privateKey, (setAside, error) =>
    log.error("the node's key cannot be read; it joins again with a new one", error, { setAside }),
  );
  const ledger = await openLedger(places.ledger, (setAside, error) =>
    log.error("the ledger cannot be read; what runs is kept until the api answers", error, {
      setAside,
    }),
  );
  await writeRegistryHosts(env.WAYBILL_REGISTRY_HOSTS_DIR, env.WAYBILL_API_URL);
  return {
    places,
    facts: { bootId: boot, version, capacity: offered(env) },
    runtime: openRuntime(env.CONTAINER_RUNTIME_ENDPOINT, places.installation),
    ledger,
    client: await openApiClient({
      apiUrl: env.WAYBILL_API_URL,
      identityFile: places.identity,
      joinTokenFile: env.WAYBILL_JOIN_TOKEN_FILE,
      version,
      publicKey: key.publicKey,
      session: await openSession(join(dirname(env.WAYBILL_AGENT_HEALTH), "session.json"), boot),
      ...(env.WAYBILL_POD_RANGE !== undefined && { podRange: env.WAYBILL_POD_RANGE }),
    }),
    key,
    kept: await openKeptVerdicts(places.verdicts, (error) =>
      log.error("what the probes know is not kept for the next agent", error),
    ),
    outcomes: await openOutcomes({
      folder: places.outcomesDir,
      tailOf: async (pod, fault) => (fault ? tailOf(places, pod, fault) : []),
      onTrouble: (file, error) =>
        log.error("how a pod ended cannot be read; it may run again", error, { file }),
    }),
  };
}

async function ownVersion(): Promise<string> {
  const text = await readFile(new URL("../package.json", import.meta.url), "utf8");
  const { version } = JSON.parse(text) as { readonly version: string };
  return version;
}

async function bootId(file: string): Promise<string> {
  return (await readFile(file, "utf8")).trim();
}

function offered(env: AgentEnv) {
  const host = { cpus: availableParallelism(), memoryBytes: totalmem() };
  return capacity(host, { cpu: env.WAYBILL_NODE_CPU, memory: env.WAYBILL_NODE_MEMORY });
}
