import { stat } from "node:fs/promises";
import { StartError } from "../act/start-error.ts";
import { bindAt } from "./bind.ts";
import { openBeneath, PathError } from "./open-beneath.ts";
import type { ReadyVolume } from "./volume.ts";

/**
 * Shows one folder or file of a volume at `place`. A folder that is missing is made, as whoever may
 * write to the volume could; a link on the way is refused, whether it leads out of the volume or not.
 */
export async function bindSubPath(
  volume: ReadyVolume,
  subPath: string,
  place: string,
): Promise<void> {
  const make = volume.readOnly ? undefined : { mode: (await stat(volume.path)).mode & 0o7777 };
  try {
    await using target = await openBeneath(volume.path, subPath, make);
    await bindAt(place, target);
  } catch (error) {
    if (!(error instanceof PathError)) throw error;
    const message = `the subPath "${subPath}" cannot be used: ${error.message}`;
    throw new StartError("CreateContainerConfigError", message, error);
  }
}
