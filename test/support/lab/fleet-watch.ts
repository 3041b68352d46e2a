import { setTimeout as sleep } from "node:timers/promises";
import postgres from "postgres";
import { openCri } from "../../../node-agent/runtime/cri.ts";
import { LABELS } from "../../../node-agent/runtime/labels.ts";
import type { Lab } from "./lab.ts";

/** What was seen of an app at its worst, while somebody looked. */
export type AppWatched = {
  /** Wanted pods whose nodes call them ready, as the control plane knows it. */
  readonly fewestReady: number;
  readonly mostWanted: number;
  /** Containers that run on the hosts, those of pods that are leaving as well, as the runtimes list them. */
  readonly fewestRunning: number;
  readonly mostRunning: number;
  /** The releases that were live, each when it became so. */
  readonly live: readonly number[];
};

export type FleetWatch = AsyncDisposable & {
  /** How often it was looked. */
  looks(): number;
  /** Looks no more, and tells of every app; throws where it could not look. */
  stop(): Promise<Readonly<Record<string, AppWatched>>>;
};

const LOOK_EVERY_MS = 150;

type PodRow = { app: string; live: number | null; pod: string; wanted: string; ready: boolean };

/** Looks at all apps again and again, both in the database and at the hosts' runtimes. */
export function watchFleet({ controlPlane, hosts }: Lab): FleetWatch {
  const sql = postgres(controlPlane.databaseUrl, { max: 1 });
  const runtimes = hosts.map(({ containerd: it }) => openCri(it.endpoint, it.installation));
  const watched = new Map<string, AppWatched>();
  const ending = new AbortController();
  let looks = 0;

  async function look(): Promise<void> {
    const lists = await Promise.all(runtimes.map((it) => it.list()));
    const rows = await sql<PodRow[]>`
      select apps.name as app, pods.id as pod, pods.wanted,
        (select number from releases where app_id = apps.id and phase = 'live') as live,
        coalesce((pod_status.status ->> 'ready')::boolean, false) as ready
      from apps join pods on pods.app_id = apps.id left join pod_status on pod_id = pods.id`;
    const running = lists.flatMap(({ sandboxes, containers }) => {
      const podOf = new Map(sandboxes.map((it) => [it.id, it.labels[LABELS.pod]]));
      return containers.filter((it) => it.state === "running").map((it) => podOf.get(it.sandboxId));
    });
    for (const [app, pods] of Map.groupBy(rows, (it) => it.app)) note(app, pods, running);
    looks += 1;
  }

  function note(app: string, pods: readonly PodRow[], running: readonly unknown[]): void {
    const wanted = pods.filter((it) => it.wanted === "run");
    const ready = wanted.filter((it) => it.ready).length;
    const mine = new Set<unknown>(pods.map((it) => it.pod));
    const alive = running.filter((it) => mine.has(it)).length;
    const before = watched.get(app);
    const live = pods[0]?.live ?? undefined;
    const isNew = live !== undefined && live !== before?.live.at(-1);
    watched.set(app, {
      fewestReady: Math.min(ready, before?.fewestReady ?? ready),
      mostWanted: Math.max(wanted.length, before?.mostWanted ?? 0),
      fewestRunning: Math.min(alive, before?.fewestRunning ?? alive),
      mostRunning: Math.max(alive, before?.mostRunning ?? 0),
      live: [...(before?.live ?? []), ...(isNew ? [live] : [])],
    });
  }

  const looking = (async () => {
    while (!ending.signal.aborted) {
      await look();
      await sleep(LOOK_EVERY_MS);
    }
  })();
  // Told by `stop`.
  looking.catch(() => undefined);

  async function end(): Promise<void> {
    ending.abort();
    await Promise.allSettled([looking]);
    await Promise.all(runtimes.map((it) => it.close()));
    await sql.end({ timeout: 5 });
  }

  return {
    looks: () => looks,
    async stop() {
      ending.abort();
      await looking;
      return Object.fromEntries(watched);
    },
    [Symbol.asyncDispose]: end,
  };
}
