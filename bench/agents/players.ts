import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Count, Order, PlayedAgent } from "./orders.ts";

/** Open files are capped for each process: the agents are played by several. */
const PROCESSES = 2;
const PATIENCE_MS = 600_000;

export type Players = AsyncDisposable & {
  /** Gives an order to all, and answers their sums. */
  tell(order: Exclude<Order, { do: "be" }>): Promise<Count>;
  /** Asks until it is so, and answers the last count. */
  until(isSo: (count: Count) => boolean, everyMs?: number): Promise<Count>;
};

/** Processes that play these agents; they do nothing until they are told to. */
export async function startPlayers(agents: readonly PlayedAgent[]): Promise<Players> {
  const children = Array.from({ length: PROCESSES }, () =>
    spawn(process.execPath, [join(import.meta.dirname, "player.ts")], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    }),
  );
  const tell = async (order: Order) => sum(await Promise.all(children.map((it) => ask(it, order))));
  await Promise.all(
    children.map((child, index) => {
      const part = agents.filter((_, at) => at % PROCESSES === index);
      // Each with its own source address: one address has too few ports for so many connections.
      return ask(child, { do: "be", agents: part, from: `127.0.1.${index + 1}` });
    }),
  );
  return {
    tell,
    until: async (isSo, everyMs = 20) => {
      const deadline = performance.now() + PATIENCE_MS;
      for (;;) {
        const count = await tell({ do: "count" });
        if (isSo(count)) return count;
        if (performance.now() > deadline)
          throw new Error(`not in ${PATIENCE_MS} ms: ${JSON.stringify(count)}`);
        await sleep(everyMs);
      }
    },
    [Symbol.asyncDispose]: async () => {
      for (const child of children) child.disconnect();
      await Promise.all(children.map((it) => it.exitCode ?? once(it, "exit")));
    },
  };
}

async function ask(child: ChildProcess, order: Order): Promise<Count> {
  const answered = once(child, "message");
  child.send(order);
  const [count] = (await answered) as [Count];
  return count;
}

function sum(counts: readonly Count[]): Count {
  const failures: Record<string, number> = {};
  for (const count of counts)
    for (const [what, times] of Object.entries(count.failures))
      failures[what] = (failures[what] ?? 0) + times;
  const total = (of: "held" | "told" | "reported") => counts.reduce((all, it) => all + it[of], 0);
  const [held, told, reported] = [total("held"), total("told"), total("reported")];
  const toldAtMs = counts.flatMap((it) => it.toldAtMs ?? []);
  const reportedAtMs = counts.flatMap((it) => it.reportedAtMs ?? []);
  return { held, told, reported, failures, toldAtMs, reportedAtMs };
}
