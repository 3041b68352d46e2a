import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { Places } from "../disk/places.ts";
import type { View } from "../run.ts";
import { logFileName } from "../runtime/cri-config.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { partsOf, setAside } from "./files.ts";

const MAX_LOG_BYTES = 32 * 1024 * 1024;

/** Bounds every running container's log: beyond 32 MiB it starts anew, and one older part is kept. */
export async function rotateLogs(deps: {
  readonly runtime: Runtime;
  readonly places: Places;
  readonly view: () => View | undefined;
}): Promise<void> {
  const { runtime, places, view } = deps;
  for (const { pod, containers } of view()?.seen ?? []) {
    for (const container of containers.filter((it) => it.state === "running")) {
      const file = join(places.logDir(pod), logFileName(container.name, container.attempt));
      const size = await sizeOf(file);
      // Gone, with an older part beside it: an earlier turn was cut off before the runtime was told.
      const told = size !== undefined || partsOf(file).length === 0;
      if (told && (size ?? 0) <= MAX_LOG_BYTES) continue;
      if (told) await setAside(file);
      await runtime.reopenLog(container.id);
    }
  }
}

async function sizeOf(file: string): Promise<number | undefined> {
  const found = await stat(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  return found?.size;
}
