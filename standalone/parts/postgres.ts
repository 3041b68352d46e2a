import { asUser, type Part } from "../part.ts";

export type PostgresOptions = {
  /** The folder of PostgreSQL's programs, such as /usr/lib/postgresql/15/bin. */
  readonly bin: string;
  readonly home: string;
  readonly port: number;
  readonly password: string;
  /** For people: libpq's PGSERVICEFILE, which only root reads. */
  readonly serviceFile: string;
};

export const POSTGRES_DATABASE = "waybill";
export const POSTGRES_ROLE = "waybill";

/** PostgreSQL on loopback as the user `postgres` (it refuses root), small but durable. */
export function postgresPart(o: PostgresOptions): Part {
  const settings = {
    listen_addresses: "127.0.0.1",
    port: String(o.port),
    unix_socket_directories: "",
    max_connections: "100",
    shared_buffers: "64MB",
    fsync: "on",
    synchronous_commit: "on",
    password_encryption: "scram-sha-256",
    jit: "off",
    log_parameter_max_length: "0",
    log_parameter_max_length_on_error: "0",
    log_min_error_statement: "panic",
  };
  const argv = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  return {
    name: "postgres",
    ...asUser("postgres", {
      program: `${o.bin}/postgres`,
      argv: ["-D", clusterOf(o.home), ...argv],
    }),
    env: { LC_ALL: "C.UTF-8", PATH: "/usr/bin:/bin" },
    folders: [{ path: o.home, mode: "0700", owner: "postgres" }],
    files: [{ path: o.serviceFile, text: serviceText(o) }],
    sockets: [],
    memories: [],
    ports: [o.port],
    adopt: true,
    ready: {
      kind: "command",
      program: `${o.bin}/pg_isready`,
      argv: ["-q", "-h", "127.0.0.1", "-p", String(o.port)],
    },
    readyWithinMs: 120_000,
    // SIGINT is the fast shutdown: it does not wait for clients to leave.
    stop: { signal: "SIGINT", graceMs: 60_000 },
  };
}

/** Makes the cluster in a folder of its own, with checksums and passwords that are never sent in clear. */
export function initdbCommand(o: PostgresOptions, into: string, passwordFile: string) {
  return asUser("postgres", {
    program: `${o.bin}/initdb`,
    argv: [
      "-k",
      "-D",
      into,
      "-U",
      POSTGRES_ROLE,
      "--auth=scram-sha-256",
      `--pwfile=${passwordFile}`,
      "--encoding=UTF8",
      "--locale=C.UTF-8",
      "--no-instructions",
    ],
  });
}

export function clusterOf(home: string): string {
  return `${home}/cluster`;
}

/** So that no command line has to hold the password, which every user of the machine could read there. */
function serviceText({ port, password }: PostgresOptions): string {
  const words = { host: "127.0.0.1", port, user: POSTGRES_ROLE, password };
  const lines = Object.entries({ ...words, dbname: POSTGRES_DATABASE }).map(
    ([name, value]) => `${name}=${value}`,
  );
  return ["[waybill]", ...lines, ""].join("\n");
}

export function databaseUrl(o: Pick<PostgresOptions, "port" | "password">): string {
  return `postgres://${POSTGRES_ROLE}:${o.password}@127.0.0.1:${o.port}/${POSTGRES_DATABASE}`;
}
