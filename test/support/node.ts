import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { caddyPart } from "../../standalone/parts/caddy.ts";
import { NODE_AGENT_FLAGS } from "../../standalone/parts/programs.ts";
import { startContainerd, type TestContainerd } from "./containerd.ts";
import { freePort } from "./free-port.ts";
import { type NodeApi, startNodeApi } from "./node-api.ts";
import { startRegistry } from "./registry.ts";
import { type PushedImage, pushBusybox, pushPause } from "./test-image.ts";

/** A whole host of its own: registry, api, containerd, Caddy and the agent as a process. */
export type TestNode = AsyncDisposable & {
  readonly api: NodeApi;
  readonly containerd: TestContainerd;
  readonly busybox: PushedImage;
  readonly httpPort: number;
  readonly env: ReturnType<typeof agentEnv>;
  /** Runs the agent's program, or that of another folder, as after an upgrade. */
  startAgent(folder?: string): Promise<void>;
  /** Ends the agent's process, and waits until it is gone. */
  endAgent(signal: NodeJS.Signals): Promise<void>;
  /** The agent's process, while one was started. */
  agent(): ChildProcess | undefined;
  agentLog(): string;
  restartCaddy(): Promise<void>;
  /** Cuts the power and boots again: everything but the agent runs afterwards. */
  reboot(): Promise<void>;
};

export async function startNode(): Promise<TestNode> {
  const stack = new AsyncDisposableStack();
  try {
    const registry = stack.use(await startRegistry());
    const [busybox] = await Promise.all([
      pushBusybox(registry.url, "apps/web"),
      pushPause(registry.url),
    ]);
    const api = stack.use(await startNodeApi(registry.url));
    const containerd = stack.use(await startContainerd());
    const httpPort = await freePort();
    const caddy = await placeCaddy(containerd, httpPort, stack);
    const env = agentEnv({ api, containerd, httpPort, adminSocket: caddy.adminSocket });
    await mkdir(env.WAYBILL_AGENT_DIR, { recursive: true });
    await writeFile(env.WAYBILL_JOIN_TOKEN_FILE, `${api.joinToken}\n`);
    await writeFile(env.WAYBILL_BOOT_ID_FILE, `${randomUUID()}\n`);
    const agent = agentProcess(env, stack);
    await caddy.start();
    const node = { api, containerd, busybox, httpPort, env, ...agent };
    const owned = stack.move();
    return {
      ...node,
      restartCaddy: async () => {
        await caddy.stop();
        await caddy.start();
      },
      reboot: async () => {
        await agent.endAgent("SIGKILL");
        await caddy.stop();
        await containerd.reboot();
        await writeFile(env.WAYBILL_BOOT_ID_FILE, `${randomUUID()}\n`);
        await caddy.start();
      },
      [Symbol.asyncDispose]: () => owned.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

async function placeCaddy(
  containerd: TestContainerd,
  httpPort: number,
  stack: AsyncDisposableStack,
) {
  const part = caddyPart({
    dataDir: join(containerd.dir, "data"),
    runDir: `/run/${containerd.installation}`,
    httpPort,
  });
  for (const file of part.files) {
    await mkdir(dirname(file.path), { recursive: true });
    await writeFile(file.path, file.text);
  }
  let child: ChildProcess | undefined;
  const stop = async () => {
    await end(child);
    child = undefined;
  };
  stack.defer(stop);
  return {
    adminSocket: part.adminSocket,
    stop,
    async start() {
      child = spawn(part.program, [...part.argv], { env: { ...part.env }, stdio: "ignore" });
    },
  };
}

function agentProcess(env: Readonly<Record<string, string>>, stack: AsyncDisposableStack) {
  let child: ChildProcess | undefined;
  let words = "";
  stack.defer(() => end(child));
  return {
    agent: () => child,
    agentLog: () => words,
    endAgent: (signal: NodeJS.Signals) => end(child, signal),
    async startAgent(folder = join(import.meta.dirname, "../..")) {
      const main = join(folder, "node-agent/main.ts");
      child = spawn(process.execPath, [...NODE_AGENT_FLAGS, main], {
        env: { ...env },
        stdio: ["ignore", "pipe", "pipe"],
      });
      for (const stream of [child.stdout, child.stderr]) {
        stream?.on("data", (chunk: Buffer) => {
          words += chunk.toString();
        });
      }
      await once(child, "spawn");
    },
  };
}

function agentEnv(o: {
  readonly api: NodeApi;
  readonly containerd: TestContainerd;
  readonly httpPort: number;
  readonly adminSocket: string;
}) {
  const agentDir = join(o.containerd.dir, "agent");
  return {
    WAYBILL_API_URL: o.api.url,
    WAYBILL_AGENT_DIR: agentDir,
    WAYBILL_JOIN_TOKEN_FILE: join(agentDir, "join.token"),
    CONTAINER_RUNTIME_ENDPOINT: o.containerd.endpoint,
    WAYBILL_REGISTRY_HOSTS_DIR: o.containerd.hostsDir,
    WAYBILL_CADDY_ADMIN: o.adminSocket,
    WAYBILL_HTTP_PORT: String(o.httpPort),
    WAYBILL_CGROUP_PARENT: o.containerd.cgroupParent,
    WAYBILL_BOOT_ID_FILE: join(agentDir, "boot-id"),
    WAYBILL_AGENT_HEALTH: `/run/${o.containerd.installation}/agent.sock`,
  };
}

async function end(
  child: ChildProcess | undefined,
  signal: NodeJS.Signals = "SIGKILL",
): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill(signal);
  await ended;
}
