import { join } from "node:path";
import type { PodId } from "../../contract/ids.ts";
import type { PodStatus } from "../../contract/node/protocol.ts";
import type { Places } from "../disk/places.ts";
import { logTail } from "../host/log-tail.ts";
import type { SeenSandbox } from "../observe.ts";
import { logFileName } from "../runtime/cri-config.ts";
import { containerAtFault } from "./report.ts";

const LINES = 20;

/** The last words of one start of a container; none where it wrote none. */
export function tailOf(
  places: Places,
  pod: PodId,
  start: { readonly container: string; readonly attempt: number },
): Promise<readonly string[]> {
  const file = join(places.logDir(pod), logFileName(start.container, start.attempt));
  return logTail(file, LINES);
}

/** The status with the last words of the container at fault, or those of its start before. */
export async function withLogTail(
  status: PodStatus,
  seen: readonly SeenSandbox[],
  places: Places,
): Promise<PodStatus> {
  const container = containerAtFault(status);
  if (container === undefined || status.logTail.length > 0) return status;
  const starts = seen
    .filter((it) => it.pod === status.pod)
    .flatMap((it) => it.containers)
    .filter((it) => it.name === container);
  if (starts.length === 0) return status;
  const newest = Math.max(...starts.map((it) => it.attempt));
  for (const attempt of [newest, newest - 1]) {
    const lines = await tailOf(places, status.pod, { container, attempt });
    if (lines.length > 0) return { ...status, logTail: [...lines] };
  }
  return status;
}
