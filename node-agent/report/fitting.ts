import { z } from "zod";
import { PodStatus } from "../../contract/node/protocol.ts";

const COMPLAINT_CHARS = 1_000;

/**
 * The status where the contract takes it, else its bones and what is wrong with it: one that was left
 * out would count as a pod that is gone, and one that is refused takes all the others with it. Pure.
 */
export function fitting(status: PodStatus): {
  readonly status: PodStatus;
  readonly misfit?: string;
} {
  const read = PodStatus.safeParse(status);
  if (read.success) return { status };
  const { pod, phase, ready, restarts } = status;
  const reason = "what its node saw of it does not fit into a report";
  return {
    status: { pod, phase, ready, restarts, reason, containers: [], logTail: [] },
    misfit: z.prettifyError(read.error).slice(0, COMPLAINT_CHARS),
  };
}
