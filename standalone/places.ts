import { join } from "node:path";

/** Every path of an installation. Sockets lie under /run, since their paths are limited to 107 bytes. */
export type Places = {
  readonly dataDir: string;
  /** For root only. */
  readonly runDir: string;
  /** Where unprivileged parts find their folders when they may not walk the path to `dataDir`. */
  readonly doorsDir: string;
  readonly logDir: string;
  readonly recordsDir: string;
  readonly adminToken: string;
  /** What seals secrets in the database, and never lies in it. */
  readonly secretsKey: string;
  /** Says to psql and pg_dump where the embedded database is: see docs/backup.md. */
  readonly databaseService: string;
  readonly agentDir: string;
  readonly joinToken: string;
  readonly agentSocket: string;
  readonly workDir: string;
  /** Compiled JavaScript of our programs; may be removed at any time. */
  readonly cacheDir: string;
  readonly cgroup: string;
};

export function placesOf(dataDir: string, id: string): Places {
  const runDir = `/run/waybill-${id}`;
  const agentDir = join(dataDir, "node-agent");
  return {
    dataDir,
    runDir,
    doorsDir: `${runDir}-homes`,
    logDir: join(dataDir, "log"),
    recordsDir: recordsDirOf(dataDir),
    adminToken: join(dataDir, "admin.token"),
    secretsKey: join(dataDir, "secrets.key"),
    databaseService: join(dataDir, "pg_service.conf"),
    agentDir,
    joinToken: join(agentDir, "join.token"),
    agentSocket: join(runDir, "node-agent.sock"),
    workDir: join(dataDir, "worker"),
    cacheDir: join(dataDir, "cache"),
    cgroup: `/waybill-${id}`,
  };
}

/** The file that says what a data folder is of; see `Role` in preflight.ts. */
export const ROLE_FILES = { installation: "installation.json", node: "host.json" } as const;

export function logFile(places: Places, name: string): string {
  return join(places.logDir, `${name}.log`);
}

/** Known before the installation is: it says whose ports are in use. */
export function recordsDirOf(dataDir: string): string {
  return join(dataDir, "run");
}
