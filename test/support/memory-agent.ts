import { randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLog } from "../../kit/log.ts";
import { runAgent } from "../../node-agent/agent.ts";
import { readAgentEnv } from "../../node-agent/env.ts";
import { removeCgroup } from "../../node-agent/host/cgroups.ts";
import type { Runtime } from "../../node-agent/runtime/runtime.ts";
import { type NodeApi, startNodeApi } from "./node-api.ts";

/** A host's folder, where a whole agent runs in this process over a runtime that a test gives it. */
export type MemoryAgent = AsyncDisposable & {
  /** What the agent keeps as its wish, as the file says. */
  readonly ledgerFile: string;
  /** Where the agent says how it is. */
  readonly healthSocket: string;
  /** Starts an agent; a later one takes over from the one before, which has to have ended. */
  startAgent(runtime: Runtime): void;
  /** Ends the agent in order. */
  endAgent(): Promise<void>;
  /** What the agents said, a line each. */
  readonly said: readonly string[];
};

export type MemoryHost = MemoryAgent & { readonly api: NodeApi };

/** The same, with an api in memory. */
export async function openMemoryHost(): Promise<MemoryHost> {
  const api = await startNodeApi();
  const agent = await openMemoryAgent(api);
  return {
    ...agent,
    api,
    async [Symbol.asyncDispose]() {
      await agent[Symbol.asyncDispose]();
      await api[Symbol.asyncDispose]();
    },
  };
}

/** Beside an api that is there already, and takes this token. */
export async function openMemoryAgent(api: {
  readonly url: string;
  readonly joinToken: string;
}): Promise<MemoryAgent> {
  const folder = await mkdtemp(join(tmpdir(), "waybill-test-agent-"));
  await writeFile(join(folder, "join.token"), api.joinToken);
  const env = readAgentEnv({
    WAYBILL_API_URL: api.url,
    WAYBILL_AGENT_DIR: join(folder, "agent"),
    WAYBILL_JOIN_TOKEN_FILE: join(folder, "join.token"),
    CONTAINER_RUNTIME_ENDPOINT: "unix:///nowhere",
    WAYBILL_REGISTRY_HOSTS_DIR: join(folder, "hosts"),
    WAYBILL_CADDY_ADMIN: join(folder, "caddy.sock"),
    WAYBILL_INGRESS_SOCKET: join(folder, "ingress.sock"),
    WAYBILL_CGROUP_PARENT: `/waybill-test-${randomUUID().slice(0, 8)}`,
    WAYBILL_AGENT_HEALTH: join(folder, "health.sock"),
  });
  const said: string[] = [];
  const log = openLog("test", (line) => void said.push(line));
  let ending = new AbortController();
  let agent: Promise<void> = Promise.resolve();
  const endAgent = async () => {
    ending.abort();
    await agent;
  };
  return {
    ledgerFile: join(env.WAYBILL_AGENT_DIR, "ledger.json"),
    healthSocket: env.WAYBILL_AGENT_HEALTH,
    startAgent(runtime) {
      ending = new AbortController();
      agent = runAgent(env, ending.signal, log, () => runtime);
    },
    endAgent,
    said,
    async [Symbol.asyncDispose]() {
      await endAgent();
      await removeCgroup(env.WAYBILL_CGROUP_PARENT);
      await rm(folder, { recursive: true, force: true });
    },
  };
}
