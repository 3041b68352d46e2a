import { type NodeId, PodId } from "../../../contract/ids.ts";
import { demandsOf } from "../../../contract/placement/demands.ts";
import { planNodes } from "../../../worker/nodes/plan.ts";
import { nextProofMs } from "../../../worker/schedule/condition.ts";
import { type Change, planApp } from "../../../worker/schedule/plan.ts";
import type { World } from "../../../worker/schedule/world.ts";
import type { AppRow, Database, Phase, PodRow, ReleaseRow } from "./database.ts";
import { claimOf, placedPod } from "./declared.ts";
import type { Random } from "./random.ts";
import { STEP_MS, type Timeline } from "./timeline.ts";

/* The worker's shells over the simulated database: who looks when, and how a plan is carried out. */

export const REPLACE_AFTER_MS = 300_000;
/** As db/nodes/control-plane.ts says: between two looks there is never so long. */
export const AWAY_MS = 30_000;
const RING_AGAIN_MS = 30_000;

export type Decision = {
  readonly app: AppRow;
  readonly world: World;
  readonly changes: readonly Change[];
};

export type Worker = ReturnType<typeof openWorker>;

export function openWorker(setting: {
  readonly db: Database;
  readonly timeline: Timeline;
  readonly random: Random;
  readonly onDecision: (decision: Decision) => void;
  readonly onWish: (node: NodeId) => void;
}) {
  const { db, timeline, random } = setting;
  const rung = new Set<string>();
  /** Apps with a pass under way: a row lock. */
  const locked = new Set<string>();
  let up = true;
  let told = "";
  let rangAtMs = 0;
  let lost = { atMs: 0, nodes: new Set<NodeId>() };

  function sights() {
    const nowMs = timeline.nowMs();
    const { calmSinceMs, lastPassAtMs } = db.control;
    const calm = nowMs - lastPassAtMs > AWAY_MS ? Number.POSITIVE_INFINITY : calmSinceMs;
    const nodes = [...db.nodes.values()];
    return { nowMs, calmSinceMs: calm, replaceAfterMs: REPLACE_AFTER_MS, nodes };
  }

  function worldOf(app: AppRow): World {
    return {
      nowMs: timeline.nowMs(),
      appDeleted: app.deleted,
      releases: app.releases.filter((it) => isActive(it.phase)).map((it) => it.view),
      held: heldRelease(app)?.view.id,
      pods: db.podsOf(app.name).map((it) => it.view),
      nodes: db.nodeViews(),
      volumes: db.volumes,
      lost: lostNow(),
    };
  }

  /** All looks of one step see the same nodes silent. */
  function lostNow(): ReadonlySet<NodeId> {
    const nowMs = timeline.nowMs();
    if (lost.atMs !== nowMs) lost = { atMs: nowMs, nodes: new Set(planNodes(sights()).lost) };
    return lost.nodes;
  }

  /** As worker/nodes/run.ts: rings for the apps on nodes of whom something is to become. */
  function lookAtNodes(): void {
    const { nowMs, nodes, ...rest } = sights();
    const plan = planNodes({ nowMs, nodes, ...rest });
    if (plan.troubled || nowMs - db.control.lastPassAtMs > AWAY_MS) db.control.calmSinceMs = nowMs;
    db.control.lastPassAtMs = nowMs;
    const others = nodes.filter((it) => it.fenced || it.draining).map((it) => it.id);
    const lot = [...plan.lost, "", ...others, "", ...plan.held].join();
    if (lot === told && nowMs - rangAtMs < RING_AGAIN_MS) return;
    for (const node of [...plan.lost, ...others])
      for (const pod of db.podsOn(node)) rung.add(pod.app);
    told = lot;
    rangAtMs = nowMs;
  }

  /** As `findUnsettled` in db/apps/unsettled.ts, for what the scheduler looks at. */
  function sweep(): void {
    const nowMs = timeline.nowMs();
    for (const app of db.apps.values()) {
      const wanted = db.podsOf(app.name).filter((it) => it.view.wanted === "run");
      const isWaiting = app.releases.some(({ phase, view }) => {
        const forMs = nowMs - view.phaseAtMs;
        const own = wanted.filter((it) => it.view.release === view.id).length;
        const isOther = own !== view.replicas || own !== wanted.length;
        if (phase === "live") return forMs > 10_000 && (app.deleted || isOther);
        return (phase === "built" && forMs > 10_000) || (phase === "rolling" && forMs > 5_000);
      });
      if (isWaiting || (app.deleted && wanted.length > 0)) rung.add(app.name);
    }
  }

  function look(name: string): void {
    const app = db.apps.get(name);
    if (!app) return;
    if (locked.has(name)) {
      timeline.after(STEP_MS, () => rung.add(name));
      return;
    }
    const world = worldOf(app);
    const changes = planApp(world);
    const decision = { app, world, changes };
    const touched = new Set(changes.flatMap((it) => nodeOf(it) ?? []));
    const read = new Map([...touched].map((id) => [id, db.nodes.get(id)?.generation]));
    // The worker is killed in the middle: the transaction is lost, and so is the bell.
    if (random.chance(0.02)) return;
    if (random.chance(0.9)) {
      commit(decision, read);
      return;
    }
    locked.add(name);
    timeline.after(STEP_MS, () => {
      locked.delete(name);
      if (up) commit(decision, read);
    });
  }

  /** All of it, or nothing where somebody else has changed what one of these nodes should run. */
  function commit(decision: Decision, read: ReadonlyMap<NodeId, number | undefined>): void {
    const { app, changes } = decision;
    const isOutdated = [...read].some(([id, it]) => db.nodes.get(id)?.generation !== it);
    const takes = changes.flatMap((it) => (it.kind === "place" ? [it.node] : []));
    const home = db.volumes.get(claimOf(app.name));
    if (isOutdated || (home !== undefined && takes.some((it) => it !== home))) {
      rung.add(app.name);
      return;
    }
    setting.onDecision(decision);
    for (const change of changes) carryOut(app.name, change);
    for (const [id, generation = 0] of read) {
      db.setNode(id, { generation: generation + 1 });
      setting.onWish(id);
    }
    const againMs = nextProofMs(worldOf(db.apps.get(app.name) as AppRow));
    if (againMs !== undefined) timeline.after(againMs, () => rung.add(app.name));
  }

  function nodeOf(change: Change): NodeId | undefined {
    if (change.kind === "place") return change.node;
    return "pod" in change ? db.pods.get(change.pod)?.view.node : undefined;
  }

  function carryOut(name: string, change: Change): void {
    const app = db.apps.get(name) as AppRow;
    if (change.kind === "place") place(app, change);
    else if (change.kind === "adopt") adopt(app, change);
    else if (change.kind === "remove") remove(podRow(change.pod));
    else if (change.kind !== "wait" && change.kind !== "hold")
      move(app, change.release, PHASES[change.kind]);
  }

  function place(app: AppRow, { release, node }: Extract<Change, { kind: "place" }>): void {
    const { frozen } = db.release(app, release);
    const spec = frozen.podOf(PodId.parse(random.uuid()));
    const demands = demandsOf(spec);
    for (const it of demands.claims) db.volumes.set(it, node);
    const view = placedPod(spec, frozen.view, node, timeline.nowMs());
    db.setPod({ view, app: app.name, spec, demands, goneGeneration: undefined });
  }

  function adopt(app: AppRow, { pod, release }: Extract<Change, { kind: "adopt" }>): void {
    const row = podRow(pod);
    const asked = db.release(app, release).frozen.podOf(pod);
    const spec = { ...asked, metadata: { ...asked.metadata, name: row.spec.metadata.name } };
    db.setPod({ ...row, spec, view: { ...row.view, release } });
  }

  function remove(row: PodRow): void {
    const goneGeneration = (db.nodes.get(row.view.node)?.generation ?? 0) + 1;
    const goneAtMs = timeline.nowMs();
    db.setPod({ ...row, goneGeneration, view: { ...row.view, wanted: "gone", goneAtMs } });
  }

  function podRow(id: PodId): PodRow {
    const row = db.pods.get(id);
    if (!row) throw new Error("the plan names a pod that is not there");
    return row;
  }

  function move(app: AppRow, id: unknown, phase: Phase): void {
    const phaseAtMs = timeline.nowMs();
    const releases = app.releases.map((it) => {
      if (it.view.id !== id) return it;
      return { ...it, phase, view: { ...it.view, phaseAtMs, ...(isActive(phase) && { phase }) } };
    });
    db.apps.set(app.name, { ...app, releases });
  }

  return {
    worldOf,
    ring: (app: string) => void rung.add(app),
    /** What Redis knew is gone. */
    flush: () => rung.clear(),
    isLocked: (app: string) => locked.has(app),
    setUp(is: boolean): void {
      up = is;
    },
    isUp: () => up,
    step(): void {
      if (!up) return;
      if (timeline.nowMs() % 5_000 === 0) {
        lookAtNodes();
        sweep();
      }
      const now = [...rung];
      rung.clear();
      for (const name of now) look(name);
    },
  };
}

/** As `heldReleases` in db/apps/placements.ts: here all are built at once. */
function heldRelease({ releases }: AppRow): ReleaseRow | undefined {
  const newest = releases.at(-1);
  return newest?.phase === "failed" && !newest.asked.autoRevert ? newest : undefined;
}

export function isActive(phase: Phase): phase is "built" | "rolling" | "live" {
  return phase === "built" || phase === "rolling" || phase === "live";
}

const PHASES = {
  roll: "rolling",
  "go-live": "live",
  retire: "retired",
  supersede: "superseded",
  cancel: "cancelled",
  fail: "failed",
} as const satisfies Partial<Record<Change["kind"], Phase>>;
