import type { ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { NODE_AGENT_FLAGS } from "../../standalone/parts/programs.ts";
import { type ContainerdSaid, startContainerd, type TestContainerd } from "./containerd.ts";
import { anIngress, type TestIngress } from "./ingress.ts";
import { aProgram, type Command } from "./program.ts";

/** What one host runs: containerd and Caddy, which stand, and the agent, which a test starts. */
export type AgentHost = AsyncDisposable & {
  readonly containerd: TestContainerd;
  readonly httpPort: number;
  readonly env: AgentEnv;
  /** Runs the agent's program, or that of another folder, as after an upgrade. */
  startAgent(folder?: string): Promise<void>;
  /** Ends the agent's process, and waits until it is gone. */
  endAgent(signal: NodeJS.Signals): Promise<void>;
  /** The agent's process, while one was started. */
  agent(): ChildProcess | undefined;
  agentLog(): string;
  /** What its front and router have said. */
  ingressLog(): string;
  /** The router, whose routes are the agent's; the front stays. */
  restartCaddy(): Promise<void>;
  /** Ends everything as a power cut does; what lies in /run is gone. */
  powerOff(): Promise<void>;
  /** Boots it: everything but the agent runs afterwards. */
  powerOn(): Promise<void>;
};

export type AgentHostSaid = Pick<ContainerdSaid, "podCidr" | "onHost"> & {
  readonly apiUrl: string;
  readonly httpPort: number;
  /** More of the agent's variables. */
  readonly env?: Readonly<Record<string, string>>;
};

/** Starts all but the agent, which is to find its join token in the file that `env` names. */
export async function startAgentHost(said: AgentHostSaid): Promise<AgentHost> {
  const { httpPort, onHost = (command: Command) => command } = said;
  const stack = new AsyncDisposableStack();
  try {
    const containerd = stack.use(await startContainerd(said));
    const { front, router, ...part } = await anIngress({
      dataDir: join(containerd.dir, "data"),
      runDir: `/run/${containerd.installation}`,
      httpPort,
      onHost,
    });
    stack.use(front);
    stack.use(router);
    const env = { ...agentEnv(said, containerd, part), ...said.env };
    const agent = stack.use(aProgram(onHost(agentCommand(env))));
    const boot = async () => {
      await writeFile(env.WAYBILL_BOOT_ID_FILE, `${randomUUID()}\n`);
      await router.start();
      await front.start();
    };
    await mkdir(env.WAYBILL_AGENT_DIR, { recursive: true });
    await boot();
    const owned = stack.move();
    return {
      containerd,
      httpPort,
      env,
      startAgent: (folder) =>
        folder === undefined ? agent.start() : agent.start(onHost(agentCommand(env, folder)).argv),
      endAgent: agent.end,
      agent: agent.child,
      agentLog: agent.log,
      ingressLog: () => `${front.log()}${router.log()}`,
      restartCaddy: async () => {
        await router.end();
        await router.start();
      },
      powerOff: async () => {
        await Promise.all([agent.end(), front.end(), router.end()]);
        await containerd.powerOff();
      },
      powerOn: async () => {
        await containerd.powerOn();
        await boot();
      },
      [Symbol.asyncDispose]: () => owned.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

const ROOT = join(import.meta.dirname, "../..");

function agentCommand(env: Readonly<Record<string, string>>, folder = ROOT): Command {
  const argv = [...NODE_AGENT_FLAGS, join(folder, "node-agent/main.ts")];
  return { program: process.execPath, argv, env };
}

type AgentEnv = ReturnType<typeof agentEnv>;

function agentEnv(
  { apiUrl }: AgentHostSaid,
  containerd: TestContainerd,
  ingress: Pick<TestIngress, "adminSocket" | "ingressSocket">,
) {
  const agentDir = join(containerd.dir, "agent");
  return {
    // As standalone starts it: code of an earlier run spares it the TypeScript compiler.
    NODE_COMPILE_CACHE: join(containerd.dir, "node-cache"),
    MALLOC_ARENA_MAX: "1",
    WAYBILL_API_URL: apiUrl,
    WAYBILL_AGENT_DIR: agentDir,
    WAYBILL_JOIN_TOKEN_FILE: join(agentDir, "join.token"),
    CONTAINER_RUNTIME_ENDPOINT: containerd.endpoint,
    WAYBILL_REGISTRY_HOSTS_DIR: containerd.hostsDir,
    WAYBILL_CADDY_ADMIN: ingress.adminSocket,
    WAYBILL_INGRESS_SOCKET: ingress.ingressSocket,
    WAYBILL_CGROUP_PARENT: containerd.cgroupParent,
    WAYBILL_BOOT_ID_FILE: join(agentDir, "boot-id"),
    WAYBILL_AGENT_HEALTH: `/run/${containerd.installation}/agent.sock`,
  };
}
