import { join } from "node:path";
import { type Assembly, assemble } from "./assemble.ts";
import { parseCidrs } from "./cidr.ts";
import { homeOf } from "./doors.ts";
import type { Settings } from "./env.ts";
import { makeFolder } from "./furnish.ts";
import {
  type Installation,
  newInstallation,
  readInstallation,
  writeInstallation,
} from "./installation.ts";
import { routedNetworks } from "./network.ts";
import { PROGRAM_FOLDERS } from "./parts/containerd.ts";
import { findPostgres } from "./parts/find-postgres.ts";
import { findHandlers } from "./parts/handlers.ts";
import { type Places, placesOf } from "./places.ts";
import { chooseLoopbackPort, holdsNodePorts, listenState } from "./ports.ts";
import { liveRecords } from "./records.ts";

export type Settled = { readonly places: Places; readonly assembly: Assembly };

/** The installation of the data folder, made where there is none, and all that it runs. */
export async function settle(settings: Settings, root: string): Promise<Settled> {
  await makeFolder({ path: settings.dataDir, mode: "0711" });
  const installation = await ensureInstallation(settings.dataDir);
  const places = placesOf(settings.dataDir, installation.id);
  for (const path of [places.logDir, places.recordsDir, places.runDir, places.agentDir]) {
    await makeFolder({ path, mode: "0700" });
  }
  const home = (name: string, owner: string, external: string | undefined) =>
    external === undefined ? homeOf(places, name, owner) : join(places.dataDir, name);
  const postgres = await home("postgres", "postgres", settings.databaseUrl);
  const assembly = assemble(settings, installation, places, {
    root,
    nodeBinary: process.execPath,
    handlers: await findHandlers(PROGRAM_FOLDERS),
    postgresBin: (await findPostgres(postgres)) ?? "",
    homes: {
      postgres,
      redis: await home("redis", "redis", settings.redisUrl),
      registry: await home("registry", "docker-registry", settings.registryUrl),
    },
  });
  return { places, assembly };
}

async function ensureInstallation(dataDir: string): Promise<Installation> {
  const kept = await readInstallation(dataDir);
  const installation = kept
    ? await withFreePorts(kept, dataDir)
    : newInstallation(await chooseThree(), parseCidrs(await routedNetworks()));
  if (installation !== kept) await writeInstallation(dataDir, installation);
  return installation;
}

async function chooseThree(): Promise<readonly [number, number, number]> {
  const first = await chooseLoopbackPort(new Set());
  const second = await chooseLoopbackPort(new Set([first]));
  return [first, second, await chooseLoopbackPort(new Set([first, second]))];
}

/** The same installation, with another port for a part whose own was taken by a stranger, or is a node's. */
async function withFreePorts(kept: Installation, dataDir: string): Promise<Installation> {
  const { recordsDir } = placesOf(dataDir, kept.id);
  const live = await liveRecords(recordsDir);
  const used = new Set(Object.values(kept.ports));
  let changed = false;
  const ports: Record<string, number> = { ...kept.ports };
  for (const [name, port] of Object.entries(kept.ports)) {
    if (live.get(name)?.ports.includes(port)) continue;
    if (!holdsNodePorts(port) && (await listenState(port, "127.0.0.1")) === "free") continue;
    ports[name] = await chooseLoopbackPort(used);
    used.add(ports[name]);
    changed = true;
  }
  return changed ? { ...kept, ports: { ...kept.ports, ...ports } } : kept;
}
