import { type Loop, startLoop } from "../kit/loop.ts";
import { responds } from "./health.ts";
import { trimLogs } from "./logs.ts";
import type { PartName } from "./part.ts";
import type { Places } from "./places.ts";
import { endProcess, isAlive } from "./processes.ts";
import type { Say } from "./progress.ts";
import { isOver, launch, type Running } from "./supervise.ts";
import { hear, look, type Watched } from "./watch-plan.ts";

/** The parts as they run now; the watch replaces one that it starts again. */
export type Fleet = Map<string, Running>;

const LOOK_EVERY_MS = 500;
const TRIM_EVERY_MS = 10_000;
const ASK_EVERY_MS = 10_000;

export type WatchOptions = {
  /** Run before a part is started again; one that fails is said and does not keep the part from it. */
  readonly beforeStart?: (name: PartName) => Promise<void>;
  readonly askEveryMs?: number;
};

/**
 * Starts again, with growing patience, each part that dies; ends our own programs where they hang,
 * which is a death like another; keeps all logs bounded. Resolves when `signal` is aborted.
 */
export async function watch(
  fleet: Fleet,
  places: Places,
  say: Say,
  signal: AbortSignal,
  { beforeStart, askEveryMs = ASK_EVERY_MS }: WatchOptions = {},
): Promise<void> {
  const onError = (error: unknown) => {
    if (!signal.aborted) say(error instanceof Error ? error.message : String(error));
  };
  /** Each for itself: a part that is slow to start, or cannot be, keeps no other down. */
  function attend(name: string): Loop {
    let state: Watched = { startedAtMs: Date.now(), deaths: 0, retryAtMs: undefined };
    async function pass() {
      const running = fleet.get(name);
      if (running === undefined) return;
      const nowMs = Date.now();
      const { next, act } = look(state, !isOver(running), nowMs);
      state = next;
      if (act === "say-it-died" && next.retryAtMs !== undefined) {
        const seconds = Math.round((next.retryAtMs - nowMs) / 1_000);
        say(`${name} ${running.ending() ?? "ended"}; starting it again in ${seconds} s`);
      }
      if (act === "start") {
        await beforeStart?.(running.part.name).catch(onError);
        if (signal.aborted) return;
        fleet.set(name, await launch(running.part, places));
        say(`${name} started again`);
      }
    }
    return startLoop({ everyMs: LOOK_EVERY_MS, signal, pass, onError });
  }
  const trim = () => trimLogs(places.logDir);
  const loops = [
    ...[...fleet.keys()].map(attend),
    startLoop({ everyMs: TRIM_EVERY_MS, signal, pass: trim, onError }),
    startLoop({ everyMs: askEveryMs, signal, pass: askOurs(fleet, say), onError }),
  ];
  await Promise.all(loops.map((it) => it.done));
}

/** Those that others made keep state and may be long at work, so they are left to themselves. */
function askOurs(fleet: Fleet, say: Say): () => Promise<void> {
  const silences = new Map<string, number>();
  async function ask({ part, process }: Running) {
    const answered = await responds(part.ready);
    const heard = hear(silences.get(part.name) ?? 0, answered || !isAlive(process));
    silences.set(part.name, heard.silences);
    if (!heard.hangs) return;
    say(`${part.name} runs and does not answer; ending it`);
    await endProcess(process, { signal: "SIGKILL", graceMs: 5_000 });
  }
  return async () => {
    await Promise.all([...fleet.values()].filter((it) => !it.part.adopt).map(ask));
  };
}
