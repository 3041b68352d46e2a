import { rename, writeFile } from "node:fs/promises";
import { setImmediate } from "node:timers/promises";
import { z } from "zod";
import { readIfThere } from "../disk/durable-file.ts";
import { readJson } from "../disk/read-json.ts";
import type { KnownBefore } from "./verdict.ts";

/**
 * What the probes know, beside the ledger, so that an agent's own restart changes nobody's readiness.
 * It is about running containers only, so it need not survive a power cut.
 */
export type KeptVerdicts = {
  /** What an agent before this one knew of a container. */
  before(container: string): KnownBefore | undefined;
  /** Replaces all that is kept, soon; the newest call wins. */
  keep(verdicts: ReadonlyMap<string, KnownBefore>): void;
};

const Kept = z.record(z.string(), z.object({ started: z.boolean(), ready: z.boolean() }));
/** Where nothing was kept, as from an agent that did not yet do so: what runs goes on until it answers. */
const TRUSTED: KnownBefore = { started: true, ready: true };
/** A container that no pass has come across within this time of the agent's start is gone. */
const FOUND_WITHIN_MS = 60_000;

/** `onTrouble` hears once of a file that cannot be read or written; the probes go on without it. */
export async function openKeptVerdicts(
  path: string,
  onTrouble: (error: unknown) => void,
): Promise<KeptVerdicts> {
  let troubled = false;
  const known = await readKept(path).catch(trouble);
  const openedAtMs = performance.now();
  let current: ReadonlyMap<string, KnownBefore> = new Map();
  let written = known && textOf(known);
  let writing = false;

  function trouble(error: unknown): undefined {
    if (!troubled) onTrouble(error);
    troubled = true;
  }

  /** Also those of before: an agent that is killed in its first moments has not come across all of them. */
  function text(): string {
    const early = performance.now() - openedAtMs < FOUND_WITHIN_MS;
    return textOf({ ...(early && known), ...Object.fromEntries(current) });
  }

  /** Waits a moment first: one look at many containers calls for each of them. */
  async function writeAll(): Promise<void> {
    if (writing) return;
    writing = true;
    try {
      await setImmediate();
      for (let next = text(); next !== written; next = text()) {
        await writeFile(`${path}.new`, next, { mode: 0o600 });
        await rename(`${path}.new`, path);
        written = next;
      }
    } finally {
      writing = false;
    }
  }

  return {
    before: (container) => (known ? known[container] : TRUSTED),
    keep(verdicts) {
      current = new Map(verdicts);
      writeAll().catch(trouble);
    },
  };
}

function textOf(kept: Readonly<Record<string, KnownBefore>>): string {
  const all = Object.entries(kept).map(
    ([id, { started, ready }]) => [id, { started, ready }] as const,
  );
  return JSON.stringify(Object.fromEntries(all.toSorted(([a], [b]) => (a < b ? -1 : 1))));
}

async function readKept(path: string): Promise<z.infer<typeof Kept> | undefined> {
  const text = await readIfThere(path);
  if (text === undefined) return undefined;
  const { value, problem } = readJson(Kept, text);
  if (!value) throw new Error(`what was kept ${problem}`);
  return value;
}
