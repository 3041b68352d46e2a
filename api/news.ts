import type { Connection } from "../db/client.ts";
import { backoffMs } from "../kit/backoff.ts";
import type { Log } from "../kit/log.ts";
import type { ChangesHub } from "./http/changes.ts";

/**
 * One listening connection a process, whoever many wait: thousands of listeners would slow down
 * every commit. Keeps trying until it listens; each (re)connection wakes everybody, since what was
 * announced in between is lost.
 */
export async function listenForChanges(
  connection: Pick<Connection, "listen">,
  channel: string,
  hub: ChangesHub,
  signal: AbortSignal,
  log: Log,
): Promise<void> {
  for (let attempt = 0; !signal.aborted; attempt++) {
    try {
      await connection.listen(channel, hub.announce, hub.announceAll);
      return;
    } catch (error) {
      log.warn("cannot listen for changes yet", { reason: String(error) });
      await pause(backoffMs(attempt, { minMs: 200, maxMs: 5_000 }), signal);
    }
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end, { once: true });
  });
}
