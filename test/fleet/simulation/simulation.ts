import { type Api, openApi } from "./api.ts";
import { type Database, openDatabase } from "./database.ts";
import type { AppKind } from "./declared.ts";
import { expectEnd } from "./end.ts";
import { openFaults } from "./faults.ts";
import { type Fleet, openFleet } from "./fleet.ts";
import { openPeople } from "./people.ts";
import { seeded } from "./random.ts";
import { openRules } from "./rules.ts";
import { openTimeline } from "./timeline.ts";
import { type Decision, openWorker } from "./worker.ts";

const START_MS = 1_000_000_000;
const MIB = 1_024 * 1_024;
const STEPS_TOLD = 40;

export type Size = {
  readonly nodes: number;
  readonly apps: number;
  readonly mostReplicas: number;
  /** What a host offers at least; at most twice as much. */
  readonly memoryGib: number;
  /** For so long things go wrong, and for so long all is well again, in virtual ms. */
  readonly faultsMs: number;
  readonly calmMs: number;
  /** In the mean, of a second. */
  readonly faultsEach: number;
  readonly wishesEach: number;
  readonly gentle: boolean;
};

/** All that there is in one simulated world. */
export type Life = ReturnType<typeof openLife>;

export function openLife(
  seed: number,
  { gentle, mostReplicas }: Pick<Size, "gentle" | "mostReplicas">,
) {
  const random = seeded(seed);
  const timeline = openTimeline(START_MS);
  const db = openDatabase();
  const told: string[] = [];
  const lastWords = new Map<string, string>();
  const tell = (text: string) => {
    told.push(`second ${(timeline.nowMs() - START_MS) / 1_000}: ${text}`);
    if (told.length > STEPS_TOLD) told.shift();
  };
  const speaks: Api["speaks"] = (who) => api.speaks(who);
  const rules = openRules({ db, timeline, gentle, api: { speaks }, fleet: () => fleet });
  const onDecision = (decision: Decision) => {
    const words = wordsOf(decision, db);
    if (decision.changes.length > 0 && lastWords.get(decision.app.name) !== words) tell(words);
    lastWords.set(decision.app.name, words);
    rules.decided(decision);
  };
  const worker = openWorker({
    ...{ db, timeline, random, onDecision },
    onWish: (node) => fleet.tell(node),
  });
  const onNudge = (app: string) => {
    if (random.chance(0.95)) worker.ring(app);
  };
  const api = openApi({ db, timeline, random, onNudge });
  const fleet: Fleet = openFleet({ db, api, timeline, random, onStop: rules.stopped });
  const parts = { db, api, worker, fleet, rules, timeline, random, tell };
  const people = openPeople({ ...parts, mostReplicas });
  const faults = openFaults({ ...parts, gentle });

  function step(): void {
    timeline.step();
    worker.step();
    rules.step();
  }

  /** Runs `act` and says of what is wrong then: when, what happened before, and how to see it again. */
  function telling(act: () => void): void {
    try {
      act();
    } catch (error) {
      const what = error instanceof Error ? error.message : String(error);
      const when = (timeline.nowMs() - START_MS) / 1_000;
      const again = `WAYBILL_SEED=${seed} npx vitest run test/fleet/simulation`;
      const words = [`second ${when}: ${what}`, again, "the last steps:", ...told];
      throw new Error(words.join("\n"), { cause: error });
    }
  }

  return { ...parts, people, faults, step, telling };
}

/** Lives through one seed; throws what was broken, with when and what came before. */
export function simulate(seed: number, size: Size): void {
  const life = openLife(seed, size);
  life.telling(() => liveThrough(life, size));
}

function liveThrough(life: Life, size: Size): void {
  const { random, timeline, fleet, people, faults, step } = life;
  for (let at = 0; at < size.nodes; at++) {
    const memoryBytes = random.int(size.memoryGib, 2 * size.memoryGib) * 1_024 * MIB;
    fleet.join(fleet.add(`node-${at}`, { cpuMillis: 8_000, memoryBytes, pods: 50 }));
  }
  while (timeline.nowMs() < START_MS + 60_000) step();
  const kinds: readonly AppKind[] = ["plain", "plain", "plain", "singleton", "volume", "port"];
  for (let at = 0; at < size.apps; at++) people.create(kinds[at % kinds.length] ?? "plain");
  while (timeline.nowMs() < START_MS + 180_000) step();
  const endMs = timeline.nowMs() + size.faultsMs;
  while (timeline.nowMs() < endMs) {
    if (random.chance(size.faultsEach)) faults.strike();
    if (random.chance(size.wishesEach)) people.act();
    if (random.chance(size.wishesEach / 4)) people.actOnNodes();
    if (!size.gentle && random.chance(size.wishesEach / 4)) people.actOnSilentNodes();
    step();
  }
  faults.mendAll();
  people.uncordonAll();
  fleet.setLossy(false);
  const restMs = timeline.nowMs() + size.calmMs;
  while (timeline.nowMs() < restMs) {
    if (timeline.nowMs() % 30_000 === 0) people.rejoin();
    step();
  }
  expectEnd(life);
}

/** What was decided for an app, in one line; what goes on waiting is left out. */
function wordsOf({ app, changes }: Decision, db: Database): string {
  const words = changes.map((it) => {
    if (it.kind === "place") return `place on ${db.nodes.get(it.node)?.name}`;
    if (!("pod" in it)) return `${it.kind} release ${db.release(app, it.release).view.number}`;
    const pod = db.pods.get(it.pod);
    const where = `${pod?.view.name} on ${pod && db.nodes.get(pod.view.node)?.name}`;
    return it.kind === "remove" ? `remove ${where}, ${it.because}` : `adopt ${where}`;
  });
  return `${app.name}: ${words.join("; ")}`;
}
