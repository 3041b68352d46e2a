import { readdir, readFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";

/** Everything on this machine that carries one of these texts: processes, mounts, links, cgroups, /run. */
export async function leftovers(traces: readonly string[]): Promise<readonly string[]> {
  const found = await Promise.all([
    processes(),
    mounts(),
    cgroups(),
    names("/run"),
    names("/sys/class/net"),
  ]);
  return [...found.flat(), ...Object.keys(networkInterfaces())].filter((line) =>
    traces.some((trace) => line.includes(trace)),
  );
}

async function processes(): Promise<readonly string[]> {
  const pids = (await readdir("/proc")).filter(
    (name) => /^\d+$/.test(name) && Number(name) !== process.pid,
  );
  return await Promise.all(
    pids.map(async (pid) => {
      const argv = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
      return `process ${pid} ${argv.replaceAll("\0", " ")}`;
    }),
  );
}

async function mounts(): Promise<readonly string[]> {
  return (await readFile("/proc/self/mountinfo", "utf8"))
    .split("\n")
    .map((line) => `mount ${line}`);
}

async function cgroups(): Promise<readonly string[]> {
  const controllers = await names("/sys/fs/cgroup");
  const inside = await Promise.all(
    controllers.map((name) => names(name.split(" ")[1] ?? "").catch(() => [])),
  );
  return [...controllers, ...inside.flat()];
}

async function names(folder: string): Promise<readonly string[]> {
  return (await readdir(folder)).map((name) => `entry ${folder}/${name}`);
}
