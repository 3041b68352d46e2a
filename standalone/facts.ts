import { readdir, readFile, stat, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Settings } from "./env.ts";
import { UNFINISHED, unlessAbsent } from "./files.ts";
import { findPostgres } from "./parts/find-postgres.ts";
import { ROLE_FILES, recordsDirOf } from "./places.ts";
import { listenState } from "./ports.ts";
import type { DataFolder, Facts, PortFact, Role } from "./preflight.ts";
import { liveRecords, STANDALONE } from "./records.ts";

/** What is about to be started, as far as it must be looked at before. */
export type Wanted = {
  readonly role: Role;
  readonly dataDir: string;
  readonly ports: readonly WantedPort[];
  readonly programs: readonly string[];
};

/** Looks up all that preflight decides on. Changes nothing. */
export async function lookUpFacts(wanted: Wanted, alone: boolean): Promise<Facts> {
  const { role, dataDir } = wanted;
  const nearest = await nearestThere(dataDir);
  const live = await liveRecords(recordsDirOf(dataDir));
  const ourPorts = new Set([...live.values()].flatMap((record) => [...record.ports]));
  return {
    role,
    dataDir,
    dataFolder: await lookAtFolder(wanted, nearest),
    alone,
    otherPid: live.get(STANDALONE)?.pid,
    freeMemoryBytes: await freeMemory(),
    freeDiskBytes: await freeDisk(nearest.path),
    ports: await Promise.all(wanted.ports.map((port) => lookAtPort(port, ourPorts))),
    missingPrograms: await missingPrograms(wanted),
  };
}

export type WantedPort = Omit<PortFact, "state">;

/** What `npm start` is about to start. */
export function wantedBy(settings: Settings): Wanted {
  return {
    role: "installation",
    dataDir: settings.dataDir,
    ports: [
      { port: settings.apiPort, host: settings.apiHost, variable: "WAYBILL_API_PORT" },
      ingressPort(settings.httpPort),
    ],
    programs: [
      ...INGRESS,
      ...(settings.redisUrl ? [] : ["/usr/bin/redis-server"]),
      ...(settings.registryUrl ? [] : ["/usr/bin/docker-registry"]),
      ...(settings.runtimeEndpoint ? [] : RUNTIME),
      "/usr/bin/mmdebstrap",
      "/usr/bin/catatonit",
      ...(settings.databaseUrl ? [] : [POSTGRES]),
    ],
  };
}

export function ingressPort(port: number): WantedPort {
  return { port, host: "0.0.0.0", variable: "WAYBILL_HTTP_PORT" };
}

export const INGRESS = ["/usr/bin/setpriv", "/usr/bin/caddy", "/usr/sbin/ip"];
export const RUNTIME = [
  "/usr/bin/containerd",
  "/usr/sbin/runc",
  "/usr/lib/cni/bridge",
  "/usr/sbin/iptables",
];
/** Looked for by its version, in a folder of its own. */
const POSTGRES = "PostgreSQL 15 or newer";

async function lookAtPort(wanted: WantedPort, ours: ReadonlySet<number>): Promise<PortFact> {
  if (ours.has(wanted.port)) return { ...wanted, state: "ours" };
  return { ...wanted, state: await listenState(wanted.port, wanted.host) };
}

/** Names that mean nothing: what mkfs puts there, and our own first file cut short by a crash. */
const IGNORED = new Set(["lost+found", ...Object.values(ROLE_FILES).map((it) => it + UNFINISHED)]);

type Nearest = { readonly path: string; readonly isFolder: boolean };

/** The path itself, or the closest of its parents that exists. */
async function nearestThere(path: string): Promise<Nearest> {
  const there = await unlessAbsent(stat(path));
  return there ? { path, isFolder: there.isDirectory() } : nearestThere(dirname(path));
}

async function lookAtFolder({ role, dataDir }: Wanted, nearest: Nearest): Promise<DataFolder> {
  if (nearest.path !== dataDir) return nearest.isFolder ? "absent" : "unusable-parent";
  if (!nearest.isFolder) return "not-a-folder";
  const names = await readdir(dataDir);
  if (names.includes(ROLE_FILES[role])) return "ours";
  if (Object.values(ROLE_FILES).some((it) => names.includes(it))) return "of-another-role";
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

async function missingPrograms({ programs, dataDir }: Wanted): Promise<readonly string[]> {
  const missing = [];
  for (const program of programs) {
    const found =
      program === POSTGRES
        ? await findPostgres(join(dataDir, "postgres"))
        : await unlessAbsent(stat(program));
    if (found === undefined) missing.push(program);
  }
  return missing;
}
