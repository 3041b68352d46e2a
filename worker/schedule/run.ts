import { randomUUID } from "node:crypto";
import { AppId, PodId } from "../../contract/ids.ts";
import { cancelUnbuilt, carryOut, PlanOutdated, saidOfPlaces } from "../../db/apps/placing.ts";
import type { Db, Tx } from "../../db/client.ts";
import { databaseUnavailable, gaveWay } from "../../db/errors.ts";
import { takenNodePorts } from "../../db/nodes/routes.ts";
import { nextProofMs } from "./condition.ts";
import { lookAt } from "./look.ts";
import { planApp } from "./plan.ts";
import { type AppRows, DELETION, rowsOf, together } from "./rows.ts";
import { sceneAfter, worldOf } from "./scene.ts";

const MAX_REPLANS = 10;
/** A pass over many apps that loses so often goes on in halves: smaller ones are over sooner. */
const LOSSES_TO_HALVE = 2;
const REPLACE_AFTER_MS = 300_000;

export type Outcome =
  /** In how many ms another look may find more, if nothing but time is missing. */
  | { readonly kind: "looked"; readonly againMs: number | undefined }
  | { readonly kind: "failed"; readonly error: unknown };
export type Outcomes = ReadonlyMap<AppId, Outcome>;

type Options = { readonly replaceAfterMs: number };

/** One look at one app, as `scheduleApps` looks at many; answers in how many ms to look again. */
export async function scheduleApp(
  db: Db,
  subject: string,
  options: Options = { replaceAfterMs: REPLACE_AFTER_MS },
): Promise<number | undefined> {
  const app = AppId.parse(subject);
  const outcome = (await scheduleApps(db, [app], options)).get(app);
  if (outcome?.kind === "failed") throw outcome.error;
  return outcome?.againMs;
}

/**
 * One look at each of these apps: what stands, what the plan of each says, one after the other, and all of
 * it in one transaction or nothing. An app that cannot be looked at or planned for is left out and spoils no
 * other's; where the database refuses the whole, the apps are looked at in smaller parts until it is known
 * whose fault it is. A pass that comes too late, since another changed the same nodes, is made anew.
 */
export async function scheduleApps(
  db: Db,
  apps: readonly AppId[],
  options: Options,
  losses = 0,
): Promise<Outcomes> {
  try {
    return await db.transaction((tx) => pass(tx, apps, options));
  } catch (error) {
    const lost = error instanceof PlanOutdated || gaveWay(error);
    const again = lost && losses < MAX_REPLANS;
    const inHalves = again ? losses % LOSSES_TO_HALVE === 1 : !databaseUnavailable(error);
    if (apps.length > 1 && inHalves) {
      const middle = apps.length >> 1;
      const first = await scheduleApps(db, apps.slice(0, middle), options, again ? losses + 1 : 0);
      const second = await scheduleApps(db, apps.slice(middle), options, again ? losses + 1 : 0);
      return new Map([...first, ...second]);
    }
    if (again) return await scheduleApps(db, apps, options, losses + 1);
    return new Map(apps.map((app) => [app, { kind: "failed", error }]));
  }
}

async function pass(tx: Tx, ids: readonly AppId[], { replaceAfterMs }: Options): Promise<Outcomes> {
  const look = await lookAt(tx, ids, replaceAfterMs);
  const outcomes = new Map<AppId, Outcome>(
    ids.map((id) => [id, { kind: "looked", againMs: undefined }]),
  );
  for (const [app, error] of look.failed) outcomes.set(app, { kind: "failed", error });
  let { scene } = look;
  const all: AppRows[] = [];
  for (const sight of look.apps) {
    try {
      const world = worldOf(scene, sight);
      const changes = planApp(world);
      all.push(rowsOf(scene, { sight, changes }, newPodId));
      outcomes.set(sight.app.id, { kind: "looked", againMs: nextProofMs(world) });
      scene = sceneAfter(scene, sight, changes);
    } catch (error) {
      outcomes.set(sight.app.id, { kind: "failed", error });
    }
  }
  await write(tx, scene.generations, all);
  const deleted = look.apps.filter((it) => it.app.deleted).map((it) => it.app.id);
  await cancelUnbuilt(tx, deleted, DELETION);
  return outcomes;
}

async function write(
  tx: Tx,
  generations: Parameters<typeof together>[1]["generations"],
  all: readonly AppRows[],
): Promise<void> {
  const doors = all.flatMap((rows) => rows.placed.filter((it) => it.door));
  const waiting = all.flatMap((rows) => rows.events.filter((it) => it.type === "pod-waiting"));
  const ports = await takenNodePorts(tx, [...new Set(doors.map((it) => it.node))]);
  const said = await saidOfPlaces(tx, [
    ...new Set(waiting.flatMap(({ release }) => (release === null ? [] : [release]))),
  ]);
  await carryOut(tx, together(all, { generations, ports, said }, Math.random));
}

function newPodId(): PodId {
  return PodId.parse(randomUUID());
}
