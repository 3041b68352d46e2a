import { readdir, readlink, stat } from "node:fs/promises";
import { join } from "node:path";
import { cgroupFolders, processesIn } from "../../../standalone/cgroups.ts";
import { type AgentHost, startAgentHost } from "../agent-host.ts";
import { type Ingress, type Page, visit } from "../visit.ts";
import { HTTP_PORT } from "./control-plane.ts";
import type { Uplink } from "./lan.ts";
import type { Link } from "./link.ts";
import { runWithin, within } from "./namespace.ts";

/** What a host says of itself, instead of all that this machine has. */
export type HostSaid = {
  readonly name: string;
  readonly memory?: string;
  readonly cpu?: string;
};

/** A machine of its own as far as anything in Waybill can tell, but for the kernel, the disk and the clock. */
export type Host = AgentHost & {
  readonly name: string;
  readonly address: string;
  readonly link: Link;
  readonly ingress: Ingress;
  /** One request to its ingress over the network, as a user's. */
  visit(host: string, path?: string): Promise<Page>;
  /** The same from the host itself, whatever its link does. */
  visitInside(host: string, path?: string): Promise<Page>;
  /** Runs a program in its network. */
  run(program: string, argv: readonly string[]): Promise<string>;
  /** Off and on, with a new boot id and whatever an agent does by itself afterwards. */
  reboot(): Promise<void>;
  /**
   * Stops every process there, the pods' as well. Connections still come about, since the kernel makes
   * them: a machine that is paused has its link cut, too.
   */
  freeze(): Promise<void>;
  thaw(): Promise<void>;
};

export async function startHost(said: {
  readonly host: HostSaid;
  readonly uplink: Uplink;
  readonly podCidr: string;
  readonly apiUrl: string;
  /** Puts a fresh join token into this file. */
  readonly giveJoinToken: (file: string) => Promise<void>;
}): Promise<Host> {
  const { uplink, podCidr, apiUrl } = said;
  const { name, memory, cpu } = said.host;
  const { namespace, address, link } = uplink;
  const ingress = { address, port: HTTP_PORT };
  const stack = new AsyncDisposableStack();
  try {
    await uplink.up();
    stack.defer(uplink.down);
    const host = stack.use(
      await startAgentHost({
        apiUrl,
        podCidr,
        httpPort: HTTP_PORT,
        onHost: (command) => within(namespace, command),
        env: {
          ...(memory !== undefined && { WAYBILL_NODE_MEMORY: memory }),
          ...(cpu !== undefined && { WAYBILL_NODE_CPU: cpu }),
        },
      }),
    );
    await said.giveJoinToken(host.env.WAYBILL_JOIN_TOKEN_FILE);
    await host.startAgent();
    // Nothing is taken down in an orderly way: what a pod leaves behind ends with the power.
    stack.defer(host.powerOff);
    const owned = stack.move();
    const powerOff = async () => {
      await host.powerOff();
      await uplink.down();
    };
    const powerOn = async () => {
      await uplink.up();
      await host.powerOn();
    };
    const signalAll = async (signal: NodeJS.Signals) => {
      for (const pid of await processesOf(host.containerd.cgroupParent, namespace.path))
        send(pid, signal);
    };
    const run: Host["run"] = (program, argv) => runWithin(namespace, program, argv);
    return {
      ...host,
      name,
      address,
      link,
      ingress,
      visit: (to, path) => visit(ingress, to, path),
      visitInside: async (to, path = "/") => {
        const argv = [join(import.meta.dirname, "visit-process.ts"), String(HTTP_PORT), to, path];
        return JSON.parse(await run(process.execPath, argv)) as Page;
      },
      run,
      powerOff,
      powerOn,
      reboot: async () => {
        await powerOff();
        await powerOn();
        await host.startAgent();
      },
      // Twice, for those that were started meanwhile.
      freeze: async () => {
        await signalAll("SIGSTOP");
        await signalAll("SIGSTOP");
      },
      thaw: () => signalAll("SIGCONT"),
      [Symbol.asyncDispose]: () => owned.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

/** Whoever is in the host's network, and its pods, which have networks of their own. */
async function processesOf(cgroup: string, namespace: string): Promise<ReadonlySet<number>> {
  const pods = await processesIn(await cgroupFolders(cgroup));
  const network = `net:[${(await stat(namespace)).ino}]`;
  const pids = (await readdir("/proc")).filter((it) => /^\d+$/.test(it)).map(Number);
  const inside = await Promise.all(
    pids.map(async (pid) => {
      const its = await readlink(`/proc/${pid}/ns/net`).catch(() => "");
      return its === network ? [pid] : [];
    }),
  );
  return new Set([...pods, ...inside.flat()]);
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
