import { realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { execLines } from "../kit/exec.ts";
import { assemble } from "./assemble.ts";
import { cleanUp } from "./clean.ts";
import type { Settings } from "./env.ts";
import { unlessAbsent } from "./files.ts";
import { makeFolder } from "./furnish.ts";
import { type Installation, readInstallation } from "./installation.ts";
import { type Lock, takeLock } from "./lock.ts";
import type { Part, PartName } from "./part.ts";
import { PROGRAM_FOLDERS } from "./parts/containerd.ts";
import { findHandlers } from "./parts/handlers.ts";
import { endForgottenServer } from "./parts/postgres-cluster.ts";
import { type NodeWiring, nodeAgentDownProgram } from "./parts/programs.ts";
import { type Places, placesOf, recordsDirOf } from "./places.ts";
import { endProcess } from "./processes.ts";
import { type Say, seconds, showing } from "./progress.ts";
import { liveRecords, readRecord, STANDALONE } from "./records.ts";
import { CONTROL_PLANE } from "./stop.ts";
import { bringUp, shutDown, untilReady } from "./supervise.ts";

export type Down = { readonly settings: Settings; readonly root: string; readonly say: Say };

/** `npm run down`: ends everything that the installation runs, and keeps its data. Comes back with the exit code. */
export async function takeDown({ settings: asked, root, say }: Down): Promise<number> {
  if (process.getuid?.() !== 0) {
    say("Waybill needs root to stop containers and their network: run this as root.");
    return 1;
  }
  const dataDir = (await unlessAbsent(realpath(asked.dataDir))) ?? asked.dataDir;
  const settings = { ...asked, dataDir };
  const installation = await readInstallation(dataDir);
  if (installation === undefined) {
    say(`There is no installation of Waybill in ${dataDir}: nothing to stop.`);
    return 0;
  }
  const lock = await stopStandalone(dataDir, say);
  const outcome = await stopEverything(settings, installation, root, say).finally(() =>
    lock.release(),
  );
  if (outcome === "pods-may-be-left") {
    say(
      `The container runtime at ${settings.runtimeEndpoint} may still hold pods of this installation.`,
    );
    say("Start it and run `npm run down` again. Everything else has stopped.");
    return 1;
  }
  say(`Nothing of this installation runs any more. Its data is in ${dataDir}.`);
  return 0;
}

async function stopEverything(
  settings: Settings,
  installation: Installation,
  root: string,
  say: Say,
): Promise<"done" | "pods-may-be-left"> {
  const places = placesOf(settings.dataDir, installation.id);
  const home = (name: string) => join(settings.dataDir, name);
  const assembly = assemble(settings, installation, places, {
    root,
    nodeBinary: process.execPath,
    handlers: await findHandlers(PROGRAM_FOLDERS),
    postgresBin: "",
    homes: { postgres: home("postgres"), redis: home("redis"), registry: home("registry") },
  });
  const { foundation, front, api, worker, nodeAgent, containerd, wiring, bridge } = assembly;
  const parts = [...foundation, front, api, worker, nodeAgent];
  for (const name of CONTROL_PLANE) await stopRecorded(name, parts, places, say);
  await endForgottenServer(home("postgres"), undefined);
  const { id } = installation;
  const removed = await takeNodeDown({ id, parts, containerd, wiring, bridge }, places, say);
  // Our own containerd is gone with all that it ran; a runtime of others' brings its pods back.
  return removed || containerd !== undefined ? "done" : "pods-may-be-left";
}

export type NodeSide = {
  readonly id: string;
  /** The node-agent, Caddy and containerd are among them. */
  readonly parts: readonly Part[];
  readonly containerd: Part | undefined;
  readonly wiring: NodeWiring;
  readonly bridge: string;
};

/** Ends what runs and routes pods, and removes the pods; answers whether they went in an orderly way. */
export async function takeNodeDown(node: NodeSide, places: Places, say: Say): Promise<boolean> {
  const { id, parts, bridge } = node;
  await stopRecorded("node-agent", parts, places, say);
  const removed = await removePods(node, places, say);
  await stopRecorded("front", parts, places, say);
  await stopRecorded("caddy", parts, places, say);
  await stopRecorded("containerd", parts, places, say);
  await cleanUp({ places, bridge, network: `waybill-${id}` }, say);
  return removed;
}

const STANDALONE_ENDS_WITHIN_MS = 180_000;

/** Asks a running standalone to end, and becomes the only one that works on the data folder. */
export async function stopStandalone(dataDir: string, say: Say): Promise<Lock> {
  const untilMs = Date.now() + STANDALONE_ENDS_WITHIN_MS;
  let asked = false;
  let said = false;
  for (;;) {
    const lock = await takeLock(dataDir);
    if (lock) return lock;
    const running = (await liveRecords(recordsDirOf(dataDir))).get(STANDALONE);
    if (running && !asked) {
      asked = true;
      say(`stopping the running Waybill (process ${running.pid})…`);
      await endProcess(running, { signal: "SIGTERM", graceMs: STANDALONE_ENDS_WITHIN_MS });
    } else if (!running && !said) {
      said = true;
      say("waiting for another Waybill process to finish with this data folder…");
    }
    if (Date.now() > untilMs) {
      throw new Error("another Waybill process keeps working on this data folder");
    }
    await sleep(100);
  }
}

async function stopRecorded(
  name: PartName,
  parts: readonly Part[],
  places: Places,
  say: Say,
): Promise<void> {
  const record = await readRecord(places.recordsDir, name);
  if (record === undefined) return;
  const how = parts.find((part) => part.name === name)?.stop ?? {
    signal: "SIGTERM",
    graceMs: 15_000,
  };
  const fromMs = Date.now();
  const withGroup = CONTROL_PLANE.includes(name);
  const outcome = await shutDown(name, record, { ...how, withGroup }, places);
  if (outcome !== "was-gone") say(`${name.padEnd(12)}stopped in ${seconds(Date.now() - fromMs)}`);
}

/**
 * Removes the pods in an orderly way, through the container runtime: brought back for it where it
 * was killed. What that way cannot do, the clean-up after it does. Answers whether it worked.
 */
async function removePods(
  { containerd, wiring }: NodeSide,
  places: Places,
  say: Say,
): Promise<boolean> {
  const state = join(places.runDir, "containerd");
  const usedSinceBoot = containerd === undefined || (await unlessAbsent(stat(state))) !== undefined;
  if (!usedSinceBoot) return true;
  try {
    if (containerd) await ready(containerd, places);
    const { program, argv, env } = nodeAgentDownProgram(wiring);
    const work = () =>
      execLines(program, argv, { env, timeoutMs: 180_000, onLine: () => undefined });
    await showing(say, "pods", work, { going: "stopping", done: () => "removed" });
    return true;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    say(`The pods could not be removed in an orderly way: ${why}`);
    return false;
  }
}

async function ready(containerd: Part, places: Places): Promise<void> {
  for (const path of [places.logDir, places.recordsDir, places.runDir]) {
    await makeFolder({ path, mode: "0700" });
  }
  const running = await bringUp(containerd, places);
  await untilReady(running, AbortSignal.timeout(60_000));
}
