import type { PodId } from "../../contract/ids.ts";
import type { ProbeFailure } from "../../contract/node/protocol.ts";
import type { SeenSandbox } from "../observe.ts";
import type { Verdicts } from "../plan/readiness.ts";

/**
 * What probes heard go wrong, by pod and container name: a container that a probe had ended is told
 * about with the answers that ended it, also when its next start runs.
 */
export type Transcripts = ReadonlyMap<string, Transcript>;

type Transcript = {
  /** Of earlier starts. */
  readonly before: readonly ProbeFailure[];
  readonly container: string;
  readonly failures: readonly ProbeFailure[];
};

/** Source: the node protocol's bound. */
const MAX_FAILURES = 10;

/** The transcripts after one more look; those of pods that are not seen any more are left out. Pure. */
export function transcriptsAfter(
  last: Transcripts,
  seen: readonly SeenSandbox[],
  verdicts: Verdicts,
): Transcripts {
  const next = new Map<string, Transcript>();
  for (const { pod, containers } of seen) {
    for (const { id, name } of containers) {
      const key = keyOf(pod, name);
      const known = next.get(key) ?? last.get(key);
      const failures = verdicts.get(id)?.failures;
      if (failures === undefined || failures.length === 0) {
        if (known) next.set(key, known);
        continue;
      }
      const before = known?.container === id ? known.before : failuresIn(known);
      next.set(key, { before, container: id, failures });
    }
  }
  return next;
}

/** The last questions that went wrong, oldest first. */
export function failuresOf(
  transcripts: Transcripts,
  pod: PodId,
  name: string,
): readonly ProbeFailure[] {
  return failuresIn(transcripts.get(keyOf(pod, name)));
}

function failuresIn(it: Transcript | undefined): readonly ProbeFailure[] {
  return it ? [...it.before, ...it.failures].slice(-MAX_FAILURES) : [];
}

function keyOf(pod: PodId, name: string): string {
  return `${pod}/${name}`;
}
