import type { Places } from "../disk/places.ts";
import { killCgroup, removeCgroup } from "../host/cgroups.ts";
import { removeMountedFolder } from "../host/volumes.ts";
import { openObserver, type SeenSandbox } from "../observe.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { stopToRemove } from "./stop.ts";

/** Whoever takes a whole installation down does not want to wait for longer than this for any pod. */
const GRACE_SECONDS = 5;

/**
 * Removes every pod of this installation, its scratch volumes, and its group with whatever still runs
 * there; answers how many sandboxes there were. Goes on where one fails, tries that again once, and
 * throws when something is left.
 */
export async function takeDown(runtime: Runtime, places: Places): Promise<number> {
  const observe = openObserver(runtime, () => undefined);
  const found = await observe();
  await Promise.allSettled(found.map((it) => removeSandbox(runtime, it)));
  for (const left of await observe()) await removeSandbox(runtime, left);
  await removeMountedFolder(places.podsDir);
  await killCgroup(places.cgroup);
  await removeCgroup(places.cgroup);
  return found.length;
}

async function removeSandbox(runtime: Runtime, sandbox: SeenSandbox): Promise<void> {
  await stopToRemove(runtime, sandbox, Math.min(GRACE_SECONDS, sandbox.graceSeconds));
  await runtime.stopSandbox(sandbox.id);
  await runtime.removeSandbox(sandbox.id);
}
