import { stat } from "node:fs/promises";
import { join } from "node:path";
import { eachInTurn } from "../../kit/each-in-turn.ts";
import type { Places } from "../disk/places.ts";
import type { SeenSandbox } from "../observe.ts";
import { logFileName } from "../runtime/cri-config.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { partsOf, setAside } from "./files.ts";

const MAX_LOG_BYTES = 32 * 1024 * 1024;

/**
 * Bounds every running container's log: beyond 32 MiB it starts anew, and one older part is kept.
 * `seen` is whatever runs here, also while nobody knows what should.
 */
export async function rotateLogs(deps: {
  readonly runtime: Pick<Runtime, "reopenLog">;
  readonly places: Places;
  readonly seen: () => readonly SeenSandbox[];
}): Promise<void> {
  const { runtime, places, seen } = deps;
  const running = seen().flatMap(({ pod, containers }) =>
    containers.filter((it) => it.state === "running").map((it) => ({ ...it, pod })),
  );
  await eachInTurn(running, async ({ id, pod, name, attempt }) => {
    const file = join(places.logDir(pod), logFileName(name, attempt));
    const size = await sizeOf(file);
    // Gone, with an older part beside it: an earlier turn was cut off before the runtime was told.
    const told = size !== undefined || partsOf(file).length === 0;
    if (told && (size ?? 0) <= MAX_LOG_BYTES) return;
    if (told) await setAside(file);
    await runtime.reopenLog(id);
  });
}

async function sizeOf(file: string): Promise<number | undefined> {
  const found = await stat(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  return found?.size;
}
