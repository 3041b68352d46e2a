import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chown, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import postgres from "postgres";
import { freePort } from "./free-port.ts";

export type Cluster = AsyncDisposable & {
  /** `postgres://postgres@127.0.0.1:port`, without a database. */
  readonly url: string;
  readonly pid: number;
  /** As a crash would: every process of it gone at once; `start` brings it back with its rows. */
  kill(): Promise<void>;
  start(): Promise<void>;
};

/**
 * A private PostgreSQL in a temporary folder, on a free loopback port, made for speed and not for power
 * cuts; with `durable` as its package makes it, so that what is committed is on the disk.
 */
export async function startCluster({ durable } = { durable: false }): Promise<Cluster> {
  const bin = await newestBin();
  const owner = await postgresOwner();
  const folder = await mkdtemp(join(tmpdir(), "waybill-pg-"));
  const data = join(folder, "data");
  const port = await freePort();
  let server: ChildProcess | undefined;

  const start = async () => {
    server = run(join(bin, "postgres"), ["-D", data, ...settings(port, folder, durable)], owner);
    await untilItAnswers(`postgres://postgres@127.0.0.1:${port}/postgres`, server);
  };
  const stop = async (signal: NodeJS.Signals) => {
    if (!server || server.exitCode !== null || server.signalCode !== null) return;
    const ended = once(server, "exit");
    server.kill(signal);
    await ended;
  };
  const dispose = async () => {
    await stop("SIGQUIT");
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  };

  try {
    if (owner) await chown(folder, owner.uid, owner.gid);
    const args = ["-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"];
    await succeeds(run(join(bin, "initdb"), [...args, "--no-sync"], owner));
    await start();
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    url: `postgres://postgres@127.0.0.1:${port}`,
    get pid() {
      return server?.pid ?? 0;
    },
    kill: () => stop("SIGQUIT"),
    start,
    [Symbol.asyncDispose]: dispose,
  };
}

type Owner = { readonly uid: number; readonly gid: number };

const settings = (port: number, folder: string, durable: boolean) =>
  [
    `port=${port}`,
    "listen_addresses=127.0.0.1",
    `unix_socket_directories=${folder}`,
    "max_connections=200",
    ...(durable ? [] : FORGETFUL),
  ].flatMap((setting) => ["-c", setting]);

const FORGETFUL = [
  "fsync=off",
  "synchronous_commit=off",
  "full_page_writes=off",
  "autovacuum=off",
  "shared_buffers=32MB",
];

/** PostgreSQL refuses to run as root, so it runs as the user that its package made. */
async function postgresOwner(): Promise<Owner | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const passwd = await readFile("/etc/passwd", "utf8");
  const [, uid, gid] = /^postgres:[^:]*:(\d+):(\d+):/m.exec(passwd) ?? [];
  if (uid === undefined || gid === undefined) throw new Error("there is no user postgres here");
  return { uid: Number(uid), gid: Number(gid) };
}

async function newestBin(): Promise<string> {
  const root = "/usr/lib/postgresql";
  const versions = (await readdir(root)).map(Number).filter((version) => version >= 15);
  return join(root, String(Math.max(...versions)), "bin");
}

function run(program: string, argv: readonly string[], owner: Owner | undefined): ChildProcess {
  const child = spawn(program, [...argv], {
    cwd: "/",
    env: { PATH: "/usr/bin:/bin" },
    stdio: ["ignore", "ignore", "pipe"],
    ...owner,
  });
  // Read and dropped, so that a full pipe never stops the server.
  child.stderr?.resume();
  return child;
}

async function succeeds(child: ChildProcess): Promise<void> {
  let said = "";
  child.stderr?.on("data", (chunk) => {
    said += chunk;
  });
  const [code] = await once(child, "exit");
  if (code !== 0) throw new Error(`${child.spawnfile} ended with code ${code}: ${said}`);
}

async function untilItAnswers(url: string, server: ChildProcess): Promise<void> {
  const deadline = Date.now() + 20_000;
  for (;;) {
    if (server.exitCode !== null) throw new Error(`postgres ended with code ${server.exitCode}`);
    const sql = postgres(url, { max: 1, connect_timeout: 2, onnotice: () => undefined });
    try {
      await sql`select 1`;
      return;
    } catch (error) {
      if (Date.now() > deadline) throw new Error("postgres does not answer", { cause: error });
    } finally {
      await sql.end({ timeout: 1 });
    }
    await sleep(50);
  }
}
