import type { Dirent } from "node:fs";
import { readdir, readFile, readlink, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { exec } from "../../kit/exec.ts";
import { cleanUp } from "../../standalone/clean.ts";
import { mountsUnder, readMountinfo } from "../../standalone/mounts.ts";
import { placesOf, ROLE_FILES } from "../../standalone/places.ts";
import { endProcess, identify } from "../../standalone/processes.ts";

/*
 * Outlives the process that started it (see run-folder.ts), waits for its end, and then removes what
 * it left: first its workers, that nothing new begins; then whole installations and parts of one, each
 * in its own way; then every process, mount and file of the folder.
 */

type Process = { readonly pid: number; readonly env: readonly string[]; readonly traces: string };

const folder = process.argv[2] ?? "";
if (!folder.startsWith("/")) throw new Error("usage: guard.ts <the run's folder>");

await new Promise((resolve) => process.stdin.on("close", resolve).resume());
const steps = [endWorkers, takeInstallationsDown, cleanWorlds, endProcesses, unmountAll, remove];
for (const step of steps) {
  await step().catch(() => {
    process.exitCode = 1;
  });
}

/** All that the runner started inherits where its temporary files go. */
function endWorkers(): Promise<void> {
  return endAll(({ env }) => env.includes(`TMPDIR=${folder}`));
}

function endProcesses(): Promise<void> {
  return endAll(({ traces, env }) => `${traces}\0${env.join("\0")}`.includes(`${folder}/`));
}

async function takeInstallationsDown(): Promise<void> {
  const down = join(import.meta.dirname, "../../standalone/down.ts");
  const files = (await Promise.all(Object.values(ROLE_FILES).map((it) => find(it)))).flat();
  for (const file of files) {
    const env = { WAYBILL_DATA_DIR: dirname(file) };
    await exec(process.execPath, [down], { env, timeoutMs: 240_000 });
  }
}

/** Parts without the rest; the folder's name holds the id that bridge, cgroup and sockets carry. */
async function cleanWorlds(): Promise<void> {
  for (const name of await readdir(folder)) {
    const [, kind, id = ""] = /^waybill-(test-containerd|parts)-([0-9a-f]{8})$/.exec(name) ?? [];
    if (kind === undefined) continue;
    const home = join(folder, name);
    const places =
      kind === "parts" ? placesOf(home, id) : placesOf(join(home, "data"), `test-${id}`);
    await endAll(({ traces }) => traces.includes(`${home}/`));
    await cleanUp({ places, bridge: `wb-${id}`, network: `waybill-${id}` }, () => undefined);
  }
}

async function unmountAll(): Promise<void> {
  for (const point of mountsUnder(await readMountinfo(), [folder]))
    await exec("/usr/bin/umount", ["--lazy", "--", point], { timeoutMs: 10_000 });
}

function remove(): Promise<void> {
  return rm(folder, { recursive: true, force: true, maxRetries: 5 });
}

async function endAll(ours: (one: Process) => boolean): Promise<void> {
  const found = (await processes()).filter(ours).map(({ pid }) => identify(pid));
  for (const one of found) {
    if (one) await endProcess(one, { signal: "SIGKILL", graceMs: 5_000 });
  }
}

async function processes(): Promise<readonly Process[]> {
  const pids = (await readdir("/proc")).filter((it) => /^\d+$/.test(it)).map(Number);
  const others = pids.filter((pid) => pid !== process.pid);
  return await Promise.all(
    others.map(async (pid) => {
      const read = (file: string) => readFile(`/proc/${pid}/${file}`, "utf8").catch(() => "");
      const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => "");
      const traces = `${await read("cmdline")}\0${cwd}/`;
      return { pid, env: (await read("environ")).split("\0"), traces };
    }),
  );
}

/** Files of this name, up to three folders down. */
async function find(name: string, within = folder, depth = 3): Promise<readonly string[]> {
  const entries = await readdir(within, { withFileTypes: true }).catch(() => [] as Dirent[]);
  const found = entries.filter((it) => it.isFile() && it.name === name);
  const folders = depth > 0 ? entries.filter((it) => it.isDirectory()) : [];
  const deeper = await Promise.all(
    folders.map((it) => find(name, join(within, it.name), depth - 1)),
  );
  return [...found.map((it) => join(within, it.name)), ...deeper.flat()];
}
