import { POD_LABELS } from "../../../contract/pod/pod.ts";
import { planApp } from "../../../worker/schedule/plan.ts";
import type { PodView, World } from "../../../worker/schedule/world.ts";
import type { AppRow } from "./database.ts";
import { running } from "./machine.ts";
import type { Life } from "./simulation.ts";
import { isActive } from "./worker.ts";

const isHeld = ({ held }: World, { wanted, release }: PodView) =>
  wanted === "run" && release === held;

/** I1 and I4: some time after the last fault every wish has come to its end, and what runs is what is asked for. */
export function expectEnd(life: Life): void {
  const { db, fleet } = life;
  const runs = fleet.hosts.flatMap(({ machine }) => running(machine));
  const byApp = Map.groupBy(runs, ({ pod }) => pod.metadata.labels[POD_LABELS.app] ?? "");
  const ready = new Set(fleet.hosts.flatMap((it) => it.runtime.serving()));
  for (const app of db.apps.values()) {
    const there = (byApp.get(app.name) ?? []).map(({ pod }) => pod.metadata.uid);
    expectAtRest(life, app, there.length, there.filter((it) => ready.has(it)).length);
  }
}

function expectAtRest({ db, worker }: Life, app: AppRow, runs: number, ready: number): void {
  const under = app.releases.filter((it) => isActive(it.phase));
  const live = under.find((it) => it.phase === "live");
  const others = under.filter((it) => it !== live);
  const asked = app.deleted ? 0 : (live?.view.replicas ?? 0);
  if (others.length > 0 || (app.deleted && live)) {
    const phases = app.releases.map((it) => `${it.view.number} ${it.phase}`);
    throw new Error(`${app.name} did not come to rest: ${phases.join(", ")}`);
  }
  const changes = planApp(worker.worldOf(app));
  if (changes.length > 0 && changes.every((it) => it.kind === "wait")) return;
  if (changes.length > 0) throw new Error(`${app.name} still plans ${JSON.stringify(changes)}`);
  const held = db.podsOf(app.name).filter(({ view }) => isHeld(worker.worldOf(app), view)).length;
  if (runs < asked || runs > asked + held || ready < asked || ready > asked + held)
    throw new Error(`${app.name} runs ${runs} pods, ${ready} ready, of ${asked} and ${held} held`);
}
