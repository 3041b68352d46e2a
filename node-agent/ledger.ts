import { rename } from "node:fs/promises";
import type { NodeId } from "../contract/ids.ts";
import { DesiredState } from "../contract/node-protocol.ts";
import { readIfThere, writeDurably } from "./durable-file.ts";

export type Accepted = "taken" | "same" | "older" | "foreign";

/**
 * The last wish that this node accepted, on disk, so that a reboot without a control plane brings
 * the same pods back. `current` is undefined when nothing is known: then nothing is stopped.
 *
 * Generation 0 is what joining gives: nobody has planned for this node yet. A control plane that lost
 * its database says so too, and what an earlier one asked for stays the wish until somebody decides.
 */
export type Ledger = {
  current(): DesiredState | undefined;
  /** Resolves once the wish would survive a power cut. Never goes back to a lower generation. */
  accept(state: DesiredState, node: NodeId): Promise<Accepted>;
};

/** Opens the ledger; one that cannot be read is set aside under another name, and `onBroken` told. */
export async function openLedger(
  path: string,
  onBroken: (setAside: string, error: unknown) => void,
): Promise<Ledger> {
  let current = await readLedger(path, onBroken);
  return {
    current: () => current,
    async accept(state, node) {
      const verdict = judge(state, current, node);
      if (verdict !== "taken") return verdict;
      const taken = isPlanned(state) ? state : goingOn(state, current);
      await writeDurably(path, JSON.stringify(taken));
      current = taken;
      return verdict;
    },
  };
}

/** A node that joined anew has a new id, and its wish starts over. */
function judge(state: DesiredState, current: DesiredState | undefined, node: NodeId): Accepted {
  if (state.node !== node) return "foreign";
  if (current?.node !== node) return "taken";
  if (state.generation === current.generation) return "same";
  return state.generation < current.generation ? "older" : "taken";
}

/** Whether somebody has decided what this node runs. */
export function isPlanned({ generation }: DesiredState): boolean {
  return generation > 0;
}

function goingOn(empty: DesiredState, last: DesiredState | undefined): DesiredState {
  return { ...empty, pods: last?.pods ?? [], routes: last?.routes ?? [] };
}

async function readLedger(
  path: string,
  onBroken: (setAside: string, error: unknown) => void,
): Promise<DesiredState | undefined> {
  const text = await readIfThere(path);
  if (text === undefined) return undefined;
  try {
    return DesiredState.parse(JSON.parse(text));
  } catch (error) {
    const setAside = `${path}.broken`;
    await rename(path, setAside);
    onBroken(setAside, error);
    return undefined;
  }
}
