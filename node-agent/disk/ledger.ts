import { rename } from "node:fs/promises";
import type { NodeId } from "../../contract/ids.ts";
import { DesiredState } from "../../contract/node/protocol.ts";
import { type Accepted, accept } from "../plan/accept.ts";
import { readIfThere, writeDurably } from "./durable-file.ts";
import { readJson } from "./read-json.ts";

/**
 * The last wish that this node accepted, on disk, so that a reboot without a control plane brings
 * the same pods back. `current` is undefined when nothing is known: then nothing is stopped.
 */
export type Ledger = {
  current(): DesiredState | undefined;
  /** Why the disk does not hold what `current` says, in words; undefined while it does. */
  trouble(): string | undefined;
  /** Resolves once the wish would survive a power cut. Never goes back to a lower generation. */
  accept(state: DesiredState, node: NodeId): Promise<Accepted>;
};

/** Opens the ledger; one that cannot be read is set aside under another name, and `onBroken` told. */
export async function openLedger(
  path: string,
  onBroken: (setAside: string, error: unknown) => void,
): Promise<Ledger> {
  let trouble: string | undefined;
  let current = await readLedger(path, (setAside, error) => {
    trouble = `it could not be read, and was set aside as ${setAside}`;
    onBroken(setAside, error);
  });

  async function keep(taken: DesiredState): Promise<void> {
    try {
      await writeDurably(path, JSON.stringify(taken));
    } catch (error) {
      trouble = `it cannot be written: ${String(error)}`;
      throw new Error("writing the ledger", { cause: error });
    }
    trouble = undefined;
    current = taken;
  }

  return {
    current: () => current,
    trouble: () => trouble,
    async accept(state, node) {
      const { verdict, keep: next } = accept(state, current, node);
      if (next) await keep(next);
      return verdict;
    },
  };
}

async function readLedger(
  path: string,
  onBroken: (setAside: string, error: unknown) => void,
): Promise<DesiredState | undefined> {
  try {
    const text = await readIfThere(path);
    if (text === undefined) return undefined;
    const { value, problem } = readJson(DesiredState, text);
    if (!value) throw new Error(`the ledger ${problem}`);
    return value;
  } catch (error) {
    onBroken(await setAsideOrLeft(path), error);
    return undefined;
  }
}

/** Where the broken file lies now: on a disk that cannot be written it stays where it was. */
async function setAsideOrLeft(path: string): Promise<string> {
  const setAside = `${path}.broken`;
  return rename(path, setAside).then(
    () => setAside,
    () => path,
  );
}
