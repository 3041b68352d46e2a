import { randomBytes, randomInt } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { exec } from "../../kit/exec.ts";
import { takeDown } from "../../node-agent/act/take-down.ts";
import { placesIn } from "../../node-agent/disk/places.ts";
import { killCgroup, removeCgroup } from "../../node-agent/host/cgroups.ts";
import { mountPoints, unmount } from "../../node-agent/host/mounts.ts";
import { openCri } from "../../node-agent/runtime/cri.ts";
import { removeMasquerade } from "../../standalone/network.ts";
import { containerdPart } from "../../standalone/parts/containerd.ts";
import type { RuntimeHandler } from "../../standalone/parts/handlers.ts";
import { eventually } from "./eventually.ts";
import { aProgram, type Command } from "./program.ts";

export type TestContainerd = AsyncDisposable & {
  readonly endpoint: string;
  readonly hostsDir: string;
  /** A folder of the test's own, on the same disk. */
  readonly dir: string;
  readonly cgroupParent: string;
  readonly installation: string;
  /** Kills it, pods left running, and starts it again. */
  restart(): Promise<void>;
  /** Ends every process and mount as a host's power cut does, and empties what lies in /run. */
  powerOff(): Promise<void>;
  powerOn(): Promise<void>;
};

export type ContainerdSaid = {
  readonly handlers?: readonly RuntimeHandler[];
  readonly podCidr?: string;
  /** Makes of a command one that runs on the host that this one is for. */
  readonly onHost?: (command: Command) => Command;
};

/** A private containerd in a temporary folder; everything that came of it is gone after disposal. */
export async function startContainerd(said: ContainerdSaid = {}): Promise<TestContainerd> {
  const { handlers = [], onHost = (command: Command) => command } = said;
  const id = randomBytes(4).toString("hex");
  // The guard of a killed run knows by this name what else to remove.
  const dir = join(tmpdir(), `waybill-test-containerd-${id}`);
  await mkdir(dir, { mode: 0o700 });
  const runDir = `/run/waybill-test-${id}`;
  const installation = `waybill-test-${id}`;
  const part = containerdPart({
    id,
    dataDir: join(dir, "data"),
    runDir,
    podCidr: said.podCidr ?? `10.${randomInt(128, 250)}.${randomInt(0, 250)}.0/24`,
    handlers,
  });
  await mkdir(runDir, { recursive: true, mode: 0o700 });
  for (const file of part.files) {
    await mkdir(dirname(file.path), { recursive: true });
    await writeFile(file.path, file.text, { mode: Number.parseInt(file.mode ?? "0600", 8) });
  }
  const daemon = aProgram(onHost(part));
  try {
    await launch();
  } catch (error) {
    await clean();
    throw error;
  }

  async function launch(): Promise<void> {
    await daemon.start();
    const runtime = openCri(part.endpoint, installation);
    try {
      await eventually(async () => {
        if (!daemon.isRunning()) throw new Error(`containerd ended: ${daemon.log().slice(-4_000)}`);
        await runtime.list();
      });
    } finally {
      runtime.close();
    }
  }

  async function stop(): Promise<void> {
    if (!daemon.isRunning()) return;
    const runtime = openCri(part.endpoint, installation);
    await takeDown(runtime, placesIn(join(dir, "agent"), `/${installation}`)).finally(() =>
      runtime.close(),
    );
    await daemon.end("SIGTERM");
  }

  async function powerOff(): Promise<void> {
    await daemon.end();
    await killShims(part.endpoint.replace("unix://", ""));
    await killCgroup(`/${installation}`);
    for (const path of await mountPoints()) {
      if (path.startsWith(`${dir}/`) || path.startsWith(`${runDir}/`)) await unmount(path);
    }
    const argv = ["link", "delete", part.bridge];
    const ip = onHost({ program: "/usr/sbin/ip", argv, env: {} });
    await exec(ip.program, ip.argv, { timeoutMs: 5_000 }).catch((error: unknown) => {
      if (!String(error).includes("Cannot find device")) throw error;
    });
    await removeMasquerade(`waybill-${id}`);
    await removeCgroup(`/${installation}`);
    await rm(runDir, { recursive: true, force: true });
  }

  async function clean(): Promise<void> {
    await powerOff();
    await rm(dir, { recursive: true, force: true });
  }

  return {
    endpoint: part.endpoint,
    hostsDir: part.hostsDir,
    dir,
    cgroupParent: `/${installation}`,
    installation,
    async restart() {
      await daemon.end();
      await launch();
    },
    powerOff,
    async powerOn() {
      await mkdir(runDir, { recursive: true, mode: 0o700 });
      await launch();
    },
    async [Symbol.asyncDispose]() {
      await stop().finally(clean);
    },
  };
}

/** Shims outlive a containerd that was killed; only those that were given our socket are ours. */
async function killShims(socket: string): Promise<void> {
  for (const pid of (await readdir("/proc")).filter((it) => /^\d+$/.test(it))) {
    const line = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    if (line.includes("containerd-shim") && line.split("\0").includes(socket))
      process.kill(Number(pid), "SIGKILL");
  }
}
