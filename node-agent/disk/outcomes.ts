import { rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { DnsLabel, type PodId } from "../../contract/ids.ts";
import { PodStatus } from "../../contract/node/protocol.ts";
import { fitting } from "../report/fitting.ts";
import { namesIn, readIfThere, writeDurably } from "./durable-file.ts";
import { readJson } from "./read-json.ts";

/** How a pod ended, for good: it is told from this from then on, and never run again. */
const PodOutcome = z.object({
  fingerprint: z.string(),
  /** `Succeeded` or `Failed`, with every container's end. */
  status: PodStatus,
  /** The start whose last words explain it. */
  fault: z.object({ container: DnsLabel, attempt: z.int().min(0) }).optional(),
});
export type PodOutcome = Readonly<z.infer<typeof PodOutcome>>;

/** One small file a pod, apart from the pod's own folder, which goes when the pod is over. */
export type Outcomes = {
  all(): ReadonlyMap<PodId, PodOutcome>;
  /** Resolves once it would survive a power cut. The first one of a wish stays: a second is the same end. */
  record(outcome: PodOutcome): Promise<void>;
  /** Forgets every pod but these. */
  keepOnly(pods: ReadonlySet<PodId>): Promise<void>;
};

/**
 * Reads what was recorded; `tailOf` gives the last words to record with an end, and `onTrouble` hears
 * of a file that cannot be read, whose pod then counts as one that has not ended.
 */
export async function openOutcomes(options: {
  readonly folder: string;
  readonly tailOf: (pod: PodId, fault: PodOutcome["fault"]) => Promise<readonly string[]>;
  readonly onTrouble: (file: string, error: unknown) => void;
}): Promise<Outcomes> {
  const { folder, tailOf, onTrouble } = options;
  const known = new Map<PodId, PodOutcome>();
  for (const name of await namesIn(folder)) {
    // The draft of a write that was cut off is no outcome yet.
    if (!name.endsWith(".json")) continue;
    const file = join(folder, name);
    const found = await readOutcome(file).catch((error: unknown) => void onTrouble(file, error));
    if (found && name === fileName(found.status.pod)) known.set(found.status.pod, found);
  }

  return {
    all: () => known,
    async record(outcome) {
      const { pod } = outcome.status;
      if (known.get(pod)?.fingerprint === outcome.fingerprint) return;
      const logTail = [...(await tailOf(pod, outcome.fault))];
      // What the next agent could not read would run again.
      const { status } = fitting({ ...outcome.status, logTail });
      const whole = { ...outcome, status };
      await writeDurably(join(folder, fileName(pod)), JSON.stringify(whole));
      known.set(pod, whole);
    },
    async keepOnly(pods) {
      for (const pod of known.keys()) {
        if (pods.has(pod)) continue;
        await rm(join(folder, fileName(pod)), { force: true });
        known.delete(pod);
      }
    },
  };
}

function fileName(pod: PodId): string {
  return `${pod}.json`;
}

async function readOutcome(file: string): Promise<PodOutcome | undefined> {
  const text = await readIfThere(file);
  if (text === undefined) return undefined;
  const { value, problem } = readJson(PodOutcome, text);
  if (!value) throw new Error(`the end that was recorded ${problem}`);
  return value;
}
