import { rm } from "node:fs/promises";
import { join } from "node:path";
import { listIfThere, readIfThere, writeDurably } from "./files.ts";
import { identify, isAlive, type ProcessId } from "./processes.ts";

/** What a later standalone, or `npm run down`, needs to know about a part that was started. */
export type PartRecord = ProcessId & {
  /** Fingerprint of how it was started; another one means that it cannot be adopted. */
  readonly launch: string;
  readonly ports: readonly number[];
};

export async function writeRecord(folder: string, name: string, record: PartRecord): Promise<void> {
  await writeDurably(fileOf(folder, name), JSON.stringify(record));
}

/** The record of a part; undefined where there is none, or one that a crash left unreadable. */
export async function readRecord(folder: string, name: string): Promise<PartRecord | undefined> {
  return parseRecord(await readIfThere(fileOf(folder, name)));
}

/** The parts that were recorded and still run. */
export async function liveRecords(folder: string): Promise<ReadonlyMap<string, PartRecord>> {
  const live = new Map<string, PartRecord>();
  for (const file of (await listIfThere(folder)) ?? []) {
    if (!file.endsWith(".json")) continue;
    const name = file.slice(0, -".json".length);
    const record = await readRecord(folder, name);
    if (record !== undefined && isAlive(record)) live.set(name, record);
  }
  return live;
}

export async function dropRecord(folder: string, name: string): Promise<void> {
  await rm(fileOf(folder, name), { force: true });
}

/** The record under which the standalone process itself is found. */
export const STANDALONE = "standalone";

export async function recordSelf(folder: string): Promise<void> {
  const self = identify(process.pid);
  if (self === undefined) throw new Error("this process cannot be found under /proc");
  await writeRecord(folder, STANDALONE, { ...self, launch: "", ports: [] });
}

function fileOf(folder: string, name: string): string {
  return join(folder, `${name}.json`);
}

function parseRecord(text: string | undefined): PartRecord | undefined {
  let read: unknown;
  try {
    read = JSON.parse(text ?? "");
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
  if (read === null || typeof read !== "object") return undefined;
  const { pid, startTicks, bootId, launch, ports } = read as Partial<PartRecord>;
  const usable =
    typeof pid === "number" && startTicks !== undefined && bootId !== undefined && ports;
  return usable ? { pid, startTicks, bootId, launch: launch ?? "", ports } : undefined;
}
