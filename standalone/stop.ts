import { mountsUnder, readMountinfo, unmount } from "./mounts.ts";
import type { PartName } from "./part.ts";
import type { Places } from "./places.ts";
import { type Say, showing } from "./progress.ts";
import { shutDown } from "./supervise.ts";
import type { Fleet } from "./watch.ts";

/** The order in which the control plane ends: first those who use the others. */
export const CONTROL_PLANE: readonly PartName[] = [
  "worker",
  "api",
  "redis",
  "registry",
  "postgres",
];
/** What keeps apps serving; only `npm run down`, and a start that failed, end it. */
export const NODE_SIDE: readonly PartName[] = ["node-agent", "front", "caddy", "containerd"];

const ENDINGS = { "was-gone": "was gone", ended: "stopped", killed: "killed" } as const;

/** Ends the named parts one after the other; one that resists is reported and does not keep the rest. */
export async function stopParts(
  fleet: Fleet,
  names: readonly PartName[],
  places: Places,
  say: Say,
): Promise<void> {
  for (const name of names) {
    const running = fleet.get(name);
    if (running === undefined) continue;
    fleet.delete(name);
    const how = { ...running.part.stop, withGroup: CONTROL_PLANE.includes(name) };
    try {
      const work = () => shutDown(name, running.process, how, places);
      await showing(say, name, work, { going: "stopping", done: (outcome) => ENDINGS[outcome] });
    } catch (error) {
      say(`${name.padEnd(12)}${error instanceof Error ? error.message : String(error)}`);
    }
  }
}

/** Takes the bind mounts of the unprivileged parts away; they have ended by now. */
export async function closeDoors(places: Places): Promise<void> {
  for (const point of mountsUnder(await readMountinfo(), [places.doorsDir])) await unmount(point);
}
