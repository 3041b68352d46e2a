import { readdir, readFile } from "node:fs/promises";

/** Memory of one process that is in RAM, in KiB, pages that it shares with others included. */
export async function residentKib(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0);
}

/** The same of a process and all its children together; a page that they share counts once. */
export async function familyKib(pid: number): Promise<number> {
  const pids = [pid, ...(await descendants(pid))];
  const sizes = await Promise.all(
    pids.map(async (it) => {
      const rollup = await readFile(`/proc/${it}/smaps_rollup`, "utf8");
      return Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0);
    }),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Clock ticks a second, as /proc counts a process's time on Linux. */
const TICKS = 100;

/** Time of a core that one process has had so far, in s. */
export async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

/** The same of a process and all the children that it has now. */
export async function familyCpuSeconds(pid: number): Promise<number> {
  const pids = [pid, ...(await descendants(pid))];
  const each = await Promise.all(pids.map(cpuSeconds));
  return each.reduce((sum, seconds) => sum + seconds, 0);
}

async function descendants(pid: number): Promise<number[]> {
  const found: number[] = [];
  for (const task of await readdir(`/proc/${pid}/task`)) {
    const children = (await readFile(`/proc/${pid}/task/${task}/children`, "utf8")).trim();
    for (const child of children.split(" ").filter(Boolean).map(Number)) {
      found.push(child, ...(await descendants(child)));
    }
  }
  return found;
}
