import { readdir, readFile, stat, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Settings } from "./env.ts";
import { UNFINISHED, unlessAbsent } from "./files.ts";
import { INSTALLATION_FILE } from "./installation.ts";
import { findPostgres } from "./parts/find-postgres.ts";
import { recordsDirOf } from "./places.ts";
import { listenState } from "./ports.ts";
import type { DataFolder, Facts, PortFact } from "./preflight.ts";
import { liveRecords, STANDALONE } from "./records.ts";

/** Looks up all that preflight decides on. Changes nothing. */
export async function lookUpFacts(settings: Settings, alone: boolean): Promise<Facts> {
  const { dataDir } = settings;
  const nearest = await nearestThere(dataDir);
  const live = await liveRecords(recordsDirOf(dataDir));
  const ourPorts = new Set([...live.values()].flatMap((record) => [...record.ports]));
  return {
    dataDir,
    dataFolder: await lookAtFolder(dataDir, nearest),
    alone,
    otherPid: live.get(STANDALONE)?.pid,
    freeMemoryBytes: await freeMemory(),
    freeDiskBytes: await freeDisk(nearest.path),
    ports: await Promise.all(wantedPorts(settings).map((wanted) => lookAtPort(wanted, ourPorts))),
    missingPrograms: await missingPrograms(settings),
  };
}

type WantedPort = Omit<PortFact, "state">;

function wantedPorts(settings: Settings): readonly WantedPort[] {
  return [
    { port: settings.apiPort, host: settings.apiHost, variable: "WAYBILL_API_PORT" },
    { port: settings.httpPort, host: "0.0.0.0", variable: "WAYBILL_HTTP_PORT" },
  ];
}

async function lookAtPort(wanted: WantedPort, ours: ReadonlySet<number>): Promise<PortFact> {
  if (ours.has(wanted.port)) return { ...wanted, state: "ours" };
  return { ...wanted, state: await listenState(wanted.port, wanted.host) };
}

/** Names that mean nothing: what mkfs puts there, and our own first file cut short by a crash. */
const IGNORED = new Set(["lost+found", INSTALLATION_FILE + UNFINISHED]);

type Nearest = { readonly path: string; readonly isFolder: boolean };

/** The path itself, or the closest of its parents that exists. */
async function nearestThere(path: string): Promise<Nearest> {
  const there = await unlessAbsent(stat(path));
  return there ? { path, isFolder: there.isDirectory() } : nearestThere(dirname(path));
}

async function lookAtFolder(dataDir: string, nearest: Nearest): Promise<DataFolder> {
  if (nearest.path !== dataDir) return nearest.isFolder ? "absent" : "unusable-parent";
  if (!nearest.isFolder) return "not-a-folder";
  const names = await readdir(dataDir);
  if (names.includes(INSTALLATION_FILE)) return "ours";
  return names.every((name) => IGNORED.has(name)) ? "empty" : "foreign";
}

async function freeMemory(): Promise<number> {
  const text = await readFile("/proc/meminfo", "utf8");
  return Number(/^MemAvailable:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1024;
}

async function freeDisk(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}

async function missingPrograms(settings: Settings): Promise<readonly string[]> {
  const needed = [
    "/usr/bin/setpriv",
    "/usr/bin/caddy",
    ...(settings.redisUrl ? [] : ["/usr/bin/redis-server"]),
    ...(settings.registryUrl ? [] : ["/usr/bin/docker-registry"]),
    ...(settings.runtimeEndpoint
      ? []
      : ["/usr/bin/containerd", "/usr/sbin/runc", "/usr/lib/cni/bridge", "/usr/sbin/iptables"]),
    "/usr/sbin/ip",
    "/usr/bin/mmdebstrap",
    "/usr/bin/catatonit",
  ];
  const missing = [];
  for (const program of needed) {
    if ((await unlessAbsent(stat(program))) === undefined) missing.push(program);
  }
  const home = join(settings.dataDir, "postgres");
  const postgres = settings.databaseUrl ?? (await findPostgres(home));
  if (postgres === undefined) missing.push("PostgreSQL 15 or newer");
  return missing;
}
