import { z } from "zod";
import type { ReleaseId } from "../../contract/ids.ts";
import type { Demands } from "../../contract/placement/demands.ts";

const WHY_CHARS = 300;
const NOTHING: Demands = {
  requests: { cpuMillis: 0, memoryBytes: 0, pods: 0 },
  hostPorts: [],
  handler: undefined,
  nodeSelector: {},
  labels: {},
  near: [],
  apart: [],
  claims: [],
};

/** What the plan has to know of a release of which no pod can be made: nothing runs that is like its pods. */
export function refusedView(id: ReleaseId, error: unknown) {
  const words = error instanceof z.ZodError ? z.prettifyError(error) : String(error);
  return {
    refused: words.replaceAll(/\s+/g, " ").slice(0, WHY_CHARS),
    restartPolicy: "Always",
    settleMs: 0,
    graceMs: 0,
    demands: NOTHING,
    fingerprint: `refused ${id}`,
  } as const;
}
