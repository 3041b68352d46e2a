import { realpath } from "node:fs/promises";
import { unlessAbsent } from "../files.ts";
import { PROGRAM_FOLDERS } from "../parts/containerd.ts";
import { findHandlers } from "../parts/handlers.ts";
import { placesOf } from "../places.ts";
import { rightsProblem } from "../preflight.ts";
import type { Say } from "../progress.ts";
import { stopStandalone, takeNodeDown } from "../take-down.ts";
import { assembleHost } from "./assemble.ts";
import type { HostOptions } from "./env.ts";
import { readHost } from "./host.ts";
import { readJoined } from "./joined.ts";

export type HostDown = {
  readonly options: Pick<HostOptions, "dataDir">;
  readonly root: string;
  readonly say: Say;
};

/** Ends everything that a node runs on this host, and keeps its data. Comes back with the exit code. */
export async function takeHostDown({ options, root, say }: HostDown): Promise<number> {
  const noRights = rightsProblem(process.getuid?.() ?? 0);
  if (noRights !== undefined) {
    say(noRights);
    return 1;
  }
  const dataDir = (await unlessAbsent(realpath(options.dataDir))) ?? options.dataDir;
  const host = await readHost(dataDir);
  if (host === undefined) {
    say(`There is no node of Waybill in ${dataDir}: nothing to stop.`);
    return 0;
  }
  const lock = await stopStandalone(dataDir, say);
  try {
    const places = placesOf(dataDir, host.id);
    const around = {
      root,
      nodeBinary: process.execPath,
      handlers: await findHandlers(PROGRAM_FOLDERS),
    };
    const { router, front, nodeAgent, ...assembly } = assembleHost(
      host,
      NOTHING_SAID,
      places,
      around,
    );
    const joined = await readJoined(places, host.api);
    // One that never joined never had a runtime either.
    const containerd = assembly.containerd(joined?.podRange ?? "");
    const parts = [nodeAgent, front, router, containerd];
    await takeNodeDown({ ...assembly, id: host.id, parts, containerd }, places, say);
    say(`Nothing of this node runs any more. Its data is in ${dataDir}.`);
    if (joined) say(`${host.api} still knows it as ${joined.name}, and cannot reach it.`);
    return 0;
  } finally {
    await lock.release();
  }
}

/** What pods may use plays no part in their removal. */
const NOTHING_SAID = {
  nodeMemory: undefined,
  nodeCpu: undefined,
  hostPaths: undefined,
  hostPorts: undefined,
  outbound: {},
};
