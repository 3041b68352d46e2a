import { readlink, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { ExecError, exec } from "../../kit/exec.ts";
import { readIfThere, unlessAbsent } from "../files.ts";
import { writeConfig } from "../furnish.ts";
import { endProcess, identify, type ProcessId } from "../processes.ts";
import {
  clusterOf,
  initdbCommand,
  POSTGRES_DATABASE,
  POSTGRES_ROLE,
  type PostgresOptions,
} from "./postgres.ts";

/** Makes the cluster where there is none: whole or not at all, whatever crashes in between. */
export async function ensureCluster(o: PostgresOptions): Promise<void> {
  const cluster = clusterOf(o.home);
  if ((await readIfThere(join(cluster, "PG_VERSION"))) !== undefined) return;
  const unfinished = `${cluster}.unfinished`;
  const passwordFile = join(o.home, "password");
  await rm(unfinished, { recursive: true, force: true });
  await writeConfig({ path: passwordFile, text: o.password, owner: "postgres" });
  const { program, argv } = initdbCommand(o, unfinished, passwordFile);
  await exec(program, argv, { env: { LC_ALL: "C.UTF-8" }, timeoutMs: 120_000 });
  await rm(passwordFile);
  await rename(unfinished, cluster);
}

/** Makes the database; an existing one is fine. */
export async function ensureDatabase(o: PostgresOptions): Promise<void> {
  const where = ["-h", "127.0.0.1", "-p", String(o.port), "-U", POSTGRES_ROLE];
  const argv = [...where, "--maintenance-db=postgres", POSTGRES_DATABASE];
  const env = { PGPASSWORD: o.password, LC_ALL: "C" };
  try {
    await exec(`${o.bin}/createdb`, argv, { env, timeoutMs: 30_000 });
  } catch (error) {
    if (error instanceof ExecError && error.stderr.includes("already exists")) return;
    throw error;
  }
}

/**
 * Ends a server that still works on this cluster though nobody recorded it: two on one cluster
 * must never be. `known` is the recorded one, which may stay.
 */
export async function endForgottenServer(
  home: string,
  known: ProcessId | undefined,
): Promise<void> {
  const pidFile = await readIfThere(join(clusterOf(home), "postmaster.pid"));
  const pid = Number(pidFile?.split("\n")[0]);
  if (!Number.isInteger(pid) || pid <= 1 || pid === known?.pid) return;
  const server = identify(pid);
  if (server === undefined || !(await worksIn(pid, clusterOf(home)))) return;
  await endProcess(server, { signal: "SIGINT", graceMs: 60_000 });
}

/** By inode, since a bind mount gives the same folder another path. */
async function worksIn(pid: number, folder: string): Promise<boolean> {
  const cwd = `/proc/${pid}/cwd`;
  if ((await unlessAbsent(readlink(cwd))) === undefined) return false;
  const [theirs, ours] = [await unlessAbsent(stat(cwd)), await unlessAbsent(stat(folder))];
  return theirs !== undefined && theirs.ino === ours?.ino && theirs.dev === ours.dev;
}
