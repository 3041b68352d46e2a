import { rename } from "node:fs/promises";
import type { NodeId } from "../../contract/ids.ts";
import { DesiredState } from "../../contract/node/protocol.ts";
import { readIfThere, writeDurably } from "./durable-file.ts";
import { readJson } from "./read-json.ts";

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
      const verdict = judge(state, current, node);
      if (verdict === "taken") await keep(isPlanned(state) ? state : goingOn(state, current));
      if (verdict === "same" && current && isSealedAnew(state, current))
        await keep({ ...current, secrets: state.secrets });
      return verdict;
    },
  };
}

/** The same wish, with its secrets sealed for a newer key of this node. */
function isSealedAnew(state: DesiredState, current: DesiredState): boolean {
  const names = (secrets: DesiredState["secrets"]) =>
    JSON.stringify(secrets.map((it) => `${it.project}/${it.name}`).sort());
  const boxes = (secrets: DesiredState["secrets"]) => secrets.map((it) => it.sealed).join();
  return (
    names(state.secrets) === names(current.secrets) &&
    boxes(state.secrets) !== boxes(current.secrets)
  );
}

/** A node that joined anew has a new id, and its wish starts over. */
function judge(state: DesiredState, current: DesiredState | undefined, node: NodeId): Accepted {
  if (state.node !== node) return "foreign";
  if (current?.node !== node) return "taken";
  const news = state.generation - current.generation || state.routing - current.routing;
  if (news === 0) return "same";
  return news < 0 ? "older" : "taken";
}

/** Whether somebody has decided what this node runs. */
export function isPlanned({ generation }: DesiredState): boolean {
  return generation > 0;
}

/** What ran here goes on, with its routes; a node where nothing did passes requests on to the others. */
function goingOn(empty: DesiredState, last: DesiredState | undefined): DesiredState {
  const { node, generation, routing } = empty;
  return last && last.pods.length > 0
    ? { ...last, node, generation, routing, purgeVolumes: [] }
    : empty;
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
