import { realpath } from "node:fs/promises";
import { join } from "node:path";
import { ExecError, execLines } from "../../kit/exec.ts";
import { overlapping } from "../cidr.ts";
import { INGRESS, ingressPort, lookUpFacts, RUNTIME, type Wanted } from "../facts.ts";
import { unlessAbsent, writeDurably } from "../files.ts";
import { makeFolder } from "../furnish.ts";
import { takeLock } from "../lock.ts";
import { routedNetworks } from "../network.ts";
import { PROGRAM_FOLDERS } from "../parts/containerd.ts";
import { findHandlers } from "../parts/handlers.ts";
import { type Places, placesOf } from "../places.ts";
import { problemsOf, rightsProblem } from "../preflight.ts";
import { type Say, showing } from "../progress.ts";
import { dropRecord, recordSelf, STANDALONE } from "../records.ts";
import { type Startup, together, warmUp } from "../start.ts";
import { NODE_SIDE, stopParts } from "../stop.ts";
import { bringUp, describe } from "../supervise.ts";
import { type Fleet, watch } from "../watch.ts";
import { assembleHost, type HostAssembly } from "./assemble.ts";
import type { HostOptions } from "./env.ts";
import { chooseHost, type Host, readHost, writeHost } from "./host.ts";
import { type Joined, readJoined, troubleSinceJoining, untilJoined } from "./joined.ts";

export type HostRun = {
  readonly options: HostOptions;
  /** The folder of the checkout. */
  readonly root: string;
  readonly say: Say;
  /** Aborted when the operator wants an end. */
  readonly signal: AbortSignal;
};

/** `npm run agent`, from the checks to the orderly end. Comes back with the exit code. */
export async function runHost(run: HostRun): Promise<number> {
  const { say } = run;
  const noRights = rightsProblem(process.getuid?.() ?? 0);
  if (noRights !== undefined) {
    say(noRights);
    return 1;
  }
  const dataDir = (await unlessAbsent(realpath(run.options.dataDir))) ?? run.options.dataDir;
  const options = { ...run.options, dataDir };
  const lock = await takeLock(dataDir);
  try {
    const host = chooseHost(options, await readHost(dataDir));
    if (!("id" in host)) {
      for (const sentence of host) say(sentence);
      say('"npm run agent -- --help" tells more.');
      return 1;
    }
    await installMissing({ ...run, options });
    const problems = problemsOf(await lookUpFacts(wantedBy(options, host), lock !== undefined));
    for (const problem of problems) say(problem);
    if (problems.length > 0) return 1;
    return await startAndWatch({ ...run, options }, host);
  } catch (error) {
    if (run.signal.aborted) return 0;
    say(describe(error));
    return 1;
  } finally {
    await lock?.release();
  }
}

function wantedBy({ dataDir }: HostOptions, { httpPort }: Host): Wanted {
  return {
    role: "node",
    dataDir,
    ports: [ingressPort(httpPort)],
    programs: [...INGRESS, ...RUNTIME],
  };
}

/** Debian's packages that a node needs; what stays missing is told with all else that is wrong. */
async function installMissing({ options, root, say, signal }: HostRun): Promise<void> {
  const argv = [join(root, "standalone/setup.sh"), "agent"];
  const env = options.outbound;
  try {
    await execLines("/bin/sh", argv, { env, timeoutMs: 20 * 60_000, signal, onLine: say });
  } catch (error) {
    if (!(error instanceof ExecError)) throw error;
  }
}

async function startAndWatch(run: HostRun, host: Host): Promise<number> {
  const { options, say, signal } = run;
  const { dataDir } = options;
  say(`Waybill's node starts, with its data in ${dataDir}`);
  await makeFolder({ path: dataDir, mode: "0711" });
  await writeHost(dataDir, host);
  const places = placesOf(dataDir, host.id);
  for (const path of [places.logDir, places.recordsDir, places.runDir, places.agentDir]) {
    await makeFolder({ path, mode: "0700" });
  }
  await recordSelf(places.recordsDir);
  const fleet: Fleet = new Map();
  try {
    const joined = await startNode(run, host, places, { places, fleet, say, signal });
    say(welcome(host, joined, places));
    const trouble = await troubleSinceJoining(places, signal);
    if (trouble !== undefined) say(`But ${trouble}`);
  } catch (error) {
    if (!signal.aborted) say(describe(error));
    say("Stopping what was started…");
    // What served apps before this start goes on doing so.
    const ours = NODE_SIDE.filter((name) => fleet.get(name)?.adopted === false);
    await stopParts(fleet, ours, places, say);
    await dropRecord(places.recordsDir, STANDALONE);
    return signal.aborted ? 0 : 1;
  }
  await watch(fleet, places, say, signal);
  await dropRecord(places.recordsDir, STANDALONE);
  say("Pods go on, unwatched. `npm run agent` takes over again;");
  say("`npm run agent -- down` stops everything.");
  return 0;
}

async function startNode(
  { options, root }: HostRun,
  host: Host,
  places: Places,
  startup: Startup,
): Promise<Joined> {
  const handlers = await findHandlers(PROGRAM_FOLDERS);
  const around = { root, nodeBinary: process.execPath, handlers };
  const assembly = assembleHost(host, options, places, around);
  if (options.joinToken !== undefined) await writeDurably(places.joinToken, options.joinToken);
  await Promise.all([together(startup, [assembly.router]), warmUp(startup, [assembly.nodeAgent])]);
  const joined = (await readJoined(places, host.api)) ?? (await joinFirst(assembly, host, startup));
  for (const network of overlapping(joined.podRange, await routedNetworks(assembly.bridge))) {
    startup.say(
      `The pods' addresses, ${joined.podRange}, are also of ${network}, to which this host has a route.`,
    );
  }
  await together(startup, [assembly.front, assembly.containerd(joined.podRange)]);
  await together(startup, [assembly.nodeAgent]);
  return joined;
}

/** The range of the pods' addresses comes with the answer to joining, and containerd starts with it. */
async function joinFirst(
  { nodeAgent }: HostAssembly,
  host: Host,
  startup: Startup,
): Promise<Joined> {
  const { places, fleet, say } = startup;
  const work = async () => {
    const agent = await bringUp(nodeAgent, places);
    fleet.set(nodeAgent.name, agent);
    return untilJoined(agent, host.api, startup);
  };
  const words = { going: "asking", done: ({ name }: Joined) => `joined as ${name}` };
  return showing(say, "api", work, words);
}

function welcome({ api, httpPort }: Host, { name, podRange }: Joined, places: Places): string {
  return [
    "",
    `This host is the node ${name} of ${api}. Its ingress listens on port ${httpPort}, and its pods`,
    `have addresses of ${podRange}.`,
    "",
    `Logs: ${places.logDir}. Ctrl-C leaves the pods serving; \`npm run agent -- down\` stops everything`,
    "and keeps the data.",
    "",
  ].join("\n");
}
