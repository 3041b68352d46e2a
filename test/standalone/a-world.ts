import { randomBytes } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exec } from "../../kit/exec.ts";
import { homeOf } from "../../standalone/doors.ts";
import { findPostgres } from "../../standalone/parts/find-postgres.ts";
import { type PostgresOptions, postgresPart } from "../../standalone/parts/postgres.ts";
import { redisPart } from "../../standalone/parts/redis.ts";
import { registryPart } from "../../standalone/parts/registry.ts";
import { type Places, placesOf } from "../../standalone/places.ts";
import { chooseLoopbackPort } from "../../standalone/ports.ts";
import { readRecord } from "../../standalone/records.ts";
import { CONTROL_PLANE, closeDoors, NODE_SIDE } from "../../standalone/stop.ts";
import { shutDown } from "../../standalone/supervise.ts";

/** A data folder of a test's own, in a place that only root may enter, as mkdtemp makes it. */
export async function aWorld() {
  const id = randomBytes(4).toString("hex");
  // The guard of a killed run knows by this name what else to remove.
  const dataDir = join(tmpdir(), `waybill-parts-${id}`);
  await mkdir(dataDir, { mode: 0o700 });
  const places = placesOf(dataDir, id);
  for (const folder of [places.logDir, places.recordsDir, places.runDir]) {
    await mkdir(folder, { recursive: true });
  }
  return {
    places,
    dataDir,
    postgres: () => aPostgres(places),
    redis: async () =>
      redisPart({
        home: await homeOf(places, "redis", "redis"),
        port: await chooseLoopbackPort(new Set()),
        password: "secret",
      }),
    registry: async () =>
      registryPart({
        home: await homeOf(places, "registry", "docker-registry"),
        port: await chooseLoopbackPort(new Set()),
        secret: "secret",
      }),
    [Symbol.asyncDispose]: async () => {
      for (const name of [...NODE_SIDE, ...CONTROL_PLANE]) await end(places, name);
      await closeDoors(places);
      for (const folder of [places.runDir, places.doorsDir, dataDir]) {
        await rm(folder, { recursive: true, force: true });
      }
    },
  };
}

async function aPostgres(places: Places) {
  const home = await homeOf(places, "postgres", "postgres");
  const bin = await findPostgres(home);
  if (bin === undefined) throw new Error("PostgreSQL is not installed");
  const port = await chooseLoopbackPort(new Set());
  const options: PostgresOptions = {
    bin,
    home,
    port,
    password: "secret",
    serviceFile: places.databaseService,
  };
  const ask = async (statement: string) => {
    const env = { PGSERVICEFILE: options.serviceFile, PGSERVICE: "waybill" };
    const { stdout } = await exec(`${bin}/psql`, ["-X", "-A", "-t", "-c", statement], {
      env,
      timeoutMs: 10_000,
    });
    return stdout.trim();
  };
  return { options, part: postgresPart(options), ask };
}

async function end(places: Places, name: string): Promise<void> {
  const record = await readRecord(places.recordsDir, name);
  if (record === undefined) return;
  await shutDown(name, record, { signal: "SIGKILL", graceMs: 5_000, withGroup: true }, places);
}
