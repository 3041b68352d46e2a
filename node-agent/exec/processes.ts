import { readFile } from "node:fs/promises";
import { processesIn } from "../host/cgroups.ts";

/*
 * A runtime's streaming server does not end a command whose caller has left. The agent does: every
 * command that a runtime starts in a container leads a session of its own, so all that it started,
 * unless it hid on purpose, is told by the session.
 */

export type Leader = {
  readonly pid: number;
  /** In the kernel's ticks since boot: a pid alone may be somebody else's by now. */
  readonly startTicks: number;
};

/** What is known of a command before it runs. */
export type Started = {
  readonly cgroup: string;
  readonly command: readonly string[];
  readonly startTicks: number;
};

type Process = Leader & {
  readonly parent: number;
  readonly session: number;
  readonly argv: readonly string[];
};

const TICKS_PER_SECOND = 100;
const SOON_TICKS = 2 * TICKS_PER_SECOND;

export async function ticksNow(): Promise<number> {
  const [uptime = "0"] = (await readFile("/proc/uptime", "utf8")).split(" ");
  return Math.floor(Number(uptime) * TICKS_PER_SECOND);
}

/**
 * The process that this command became; undefined once it has ended, or where the host cannot see
 * it. A shell may have become another program by now: then it is the first that the runtime, and no
 * process of the container, started right afterwards.
 */
export async function findLeader(started: Started): Promise<Leader | undefined> {
  const all = await processes(started.cgroup);
  const inside = new Set(all.map((it) => it.pid));
  const young = all
    .filter((it) => it.pid === it.session && !inside.has(it.parent))
    .filter((it) => it.startTicks >= started.startTicks)
    .sort((a, b) => a.startTicks - b.startTicks || a.pid - b.pid);
  const named = young.find((it) => isCommand(it.argv, started.command));
  return named ?? young.find((it) => it.startTicks <= started.startTicks + SOON_TICKS);
}

/** Ends the command and all that it started. */
export async function killSession(cgroup: string, leader: Leader): Promise<void> {
  for (const it of await processes(cgroup)) {
    const own = it.session === leader.pid && it.startTicks >= leader.startTicks;
    if (own) kill(it.pid);
  }
}

/** A script's interpreter stands before the script in its argv. */
function isCommand(argv: readonly string[], command: readonly string[]): boolean {
  const [program = "", ...rest] = command;
  const tail = argv.slice(argv.length - rest.length);
  if (rest.length > 0 && tail.join("\0") !== rest.join("\0")) return false;
  const name = program.slice(program.lastIndexOf("/") + 1);
  const before = argv.slice(0, argv.length - rest.length);
  return before.some((it) => it === program || it.slice(it.lastIndexOf("/") + 1) === name);
}

async function processes(cgroup: string): Promise<readonly Process[]> {
  const found = await Promise.all((await processesIn(cgroup)).map(lookAt));
  return found.filter((it) => it !== undefined);
}

async function lookAt(pid: number): Promise<Process | undefined> {
  try {
    const [stat, cmdline] = await Promise.all([
      readFile(`/proc/${pid}/stat`, "utf8"),
      readFile(`/proc/${pid}/cmdline`, "utf8"),
    ]);
    // The name, in brackets, may hold anything; behind it stand state, parent, group and session.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return {
      pid,
      parent: Number(fields[1]),
      session: Number(fields[3]),
      startTicks: Number(fields[19]),
      argv: cmdline.split("\0").slice(0, -1),
    };
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT" || code === "ESRCH") return undefined;
    throw error;
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}
