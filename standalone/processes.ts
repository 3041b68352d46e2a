import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** One process for certain: a pid alone may belong to another one by now. */
export type ProcessId = {
  readonly pid: number;
  /** Clock ticks between the boot and its start. */
  readonly startTicks: string;
  readonly bootId: string;
};

/** The process that has this pid now; undefined where there is none, or only its zombie. */
export function identify(pid: number): ProcessId | undefined {
  const stat = readIfThere(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // The program's name is in parentheses and may hold any character, spaces too.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state] = fields;
  const startTicks = fields[19];
  if (state === "Z" || state === "X" || startTicks === undefined) return undefined;
  return { pid, startTicks, bootId: bootId() };
}

export function isAlive(process: ProcessId): boolean {
  const now = identify(process.pid);
  return now?.startTicks === process.startTicks && now.bootId === process.bootId;
}

/**
 * Ends a process: asks with `signal`, insists with SIGKILL after `graceMs`. Resolves when it is
 * gone, with how that came; an already dead one is fine.
 */
export async function endProcess(
  target: ProcessId,
  how: { readonly signal: NodeJS.Signals; readonly graceMs: number },
): Promise<"was-gone" | "ended" | "killed"> {
  if (!isAlive(target)) return "was-gone";
  signalIfAlive(target, how.signal);
  if (await goneWithin(target, how.graceMs)) return "ended";
  signalIfAlive(target, "SIGKILL");
  if (await goneWithin(target, 10_000)) return "killed";
  throw new Error(`process ${target.pid} does not end, not even by SIGKILL`);
}

/**
 * Ends what a dead session leader left behind in its group. While such a group exists, the kernel
 * gives the leader's number to nobody, so a number that is in use means that there is no group.
 */
export function killGroup(leader: ProcessId): void {
  if (leader.bootId !== bootId() || identify(leader.pid) !== undefined) return;
  sendSignal(-leader.pid, "SIGKILL");
}

function signalIfAlive(target: ProcessId, signal: NodeJS.Signals): void {
  if (isAlive(target)) sendSignal(target.pid, signal);
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

async function goneWithin(target: ProcessId, ms: number): Promise<boolean> {
  const untilMs = Date.now() + ms;
  while (isAlive(target)) {
    if (Date.now() >= untilMs) return false;
    await sleep(20);
  }
  return true;
}

function bootId(): string {
  return (readIfThere("/proc/sys/kernel/random/boot_id") ?? "").trim();
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ESRCH") return undefined;
    throw error;
  }
}
