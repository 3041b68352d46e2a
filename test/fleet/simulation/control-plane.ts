import { type NodeId, PodId } from "../../../contract/ids.ts";
import type { Demands } from "../../../contract/placement/demands.ts";
import { withTenant } from "../../../contract/placement/filter.ts";
import type { NodeView } from "../../../contract/placement/node-view.ts";
import { planNodes } from "../../../worker/nodes/plan.ts";
import { type Change, planApp } from "../../../worker/schedule/plan.ts";
import type { PodView, ReleaseView, World } from "../../../worker/schedule/world.ts";
import { aStatus } from "../../worker/schedule/world.ts";
import type { Report, Wish } from "./host.ts";
import type { Random } from "./random.ts";

/* What PostgreSQL, api and worker are to the planners: the same rules as the queries', over maps. */

export type AppRow = { readonly name: string; releases: readonly ReleaseView[] };
type PodRow = PodView & {
  readonly app: string;
  readonly demands: Demands;
  readonly goneGeneration?: number;
};
type NodeRow = NodeView & { readonly generation: number; readonly observedGeneration: number };

export const REPLACE_AFTER_MS = 300_000;

export type Look = {
  readonly app: AppRow;
  readonly world: World;
  readonly changes: readonly Change[];
};

export function openControlPlane(random: Random) {
  const nodes = new Map<NodeId, NodeRow>();
  const pods = new Map<PodId, PodRow>();
  const apps = new Map<string, AppRow>();
  const broken = new Set<string>();
  let calmSinceMs = 0;
  let lastPassAtMs = 0;

  const isKnown = (pod: PodRow) =>
    pod.wanted === "run" ||
    pod.seen !== undefined ||
    (pod.goneGeneration ?? 0) > (nodes.get(pod.node)?.observedGeneration ?? -1);

  const setNode = (id: NodeId, change: Partial<NodeRow>) => {
    const node = nodes.get(id);
    if (node) nodes.set(id, { ...node, ...change });
  };

  function sights(nowMs: number) {
    const calm = nowMs - lastPassAtMs > 30_000 ? Number.POSITIVE_INFINITY : calmSinceMs;
    return {
      nowMs,
      calmSinceMs: calm,
      replaceAfterMs: REPLACE_AFTER_MS,
      nodes: [...nodes.values()],
    };
  }

  function nodesPass(nowMs: number): void {
    const { troubled } = planNodes(sights(nowMs));
    if (troubled || nowMs - lastPassAtMs > 30_000) calmSinceMs = nowMs;
    lastPassAtMs = nowMs;
  }

  function worldOf(app: AppRow, nowMs: number): World {
    const known = [...pods.values()].filter(isKnown);
    const tenants = Map.groupBy(known, (it) => it.node);
    const views = [...nodes.values()].map((node) =>
      (tenants.get(node.id) ?? []).reduce<NodeView>(
        (view, { id, demands }) => withTenant(view, { pod: id, demands }),
        node,
      ),
    );
    return {
      nowMs,
      appDeleted: false,
      releases: app.releases,
      pods: known.filter((it) => it.app === app.name),
      nodes: views,
      volumes: new Map(),
      lost: new Set(planNodes(sights(nowMs)).lost),
    };
  }

  /** One look at one app, carried out. */
  function schedule(app: AppRow, nowMs: number): Look {
    const world = worldOf(app, nowMs);
    const changes = planApp(world);
    const touched = new Set<NodeId>();
    for (const change of changes) carryOut(app, change, nowMs, touched);
    for (const id of touched) setNode(id, { generation: (nodes.get(id)?.generation ?? 0) + 1 });
    return { app, world, changes };
  }

  function carryOut(app: AppRow, change: Change, nowMs: number, touched: Set<NodeId>): void {
    const move = (id: unknown, phase: ReleaseView["phase"]) => {
      app.releases = app.releases.map((it) =>
        it.id === id ? { ...it, phase, phaseAtMs: nowMs } : it,
      );
    };
    switch (change.kind) {
      case "place": {
        const release = app.releases.find((it) => it.id === change.release);
        if (!release) throw new Error("the plan places a pod of no release");
        const id = PodId.parse(random.uuid());
        const text = {
          fingerprint: release.fingerprint,
          textBytes: 0,
          exclusive: release.exclusive,
        };
        const row = { name: id, release: release.id, node: change.node, demands: release.demands };
        pods.set(id, {
          id,
          app: app.name,
          ...row,
          ...text,
          wanted: "run",
          createdAtMs: nowMs,
          seen: undefined,
        });
        touched.add(change.node);
        return;
      }
      case "adopt":
      case "remove": {
        const pod = pods.get(change.pod);
        if (!pod) throw new Error("the plan names a pod that is not there");
        const goneGeneration = (nodes.get(pod.node)?.generation ?? 0) + 1;
        const gone = { wanted: "gone", goneGeneration } as const;
        pods.set(pod.id, {
          ...pod,
          ...(change.kind === "adopt" ? { release: change.release } : gone),
        });
        touched.add(pod.node);
        return;
      }
      case "roll":
        move(change.release, "rolling");
        return;
      case "go-live":
        move(change.release, "live");
        return;
      case "retire":
      case "supersede":
      case "cancel":
      case "fail":
        app.releases = app.releases.filter((it) => it.id !== change.release);
        return;
      case "wait":
      case "hold":
        return;
    }
  }

  /** What a node's report changes; answers the apps that should look. */
  function store(report: Report, nowMs: number): ReadonlySet<string> {
    const node = nodes.get(report.node);
    const moved = new Set<string>();
    if (!node) return moved;
    setNode(node.id, { seenAtMs: nowMs, fenced: false });
    if (report.observedGeneration < node.observedGeneration) return moved;
    setNode(node.id, { observedGeneration: report.observedGeneration });
    const said = new Map(report.pods.map((it) => [it.id, it]));
    for (const pod of [...pods.values()].filter((it) => it.node === node.id)) {
      const it = said.get(pod.id);
      const phase = it?.ending ? ("Terminating" as const) : ("Running" as const);
      const status = it && aStatus(pod.id, { ready: it.ready, phase });
      const before = pod.seen?.status;
      if (before?.ready === status?.ready && before?.phase === status?.phase) continue;
      moved.add(pod.app);
      pods.set(pod.id, { ...pod, seen: status && { status, sinceMs: nowMs } });
      if (!isKnown({ ...pod, seen: status && { status, sinceMs: nowMs } })) pods.delete(pod.id);
    }
    return moved;
  }

  function wishOf(id: NodeId): Wish {
    const wanted = [...pods.values()].filter((it) => it.node === id && it.wanted === "run");
    return {
      generation: nodes.get(id)?.generation ?? 0,
      pods: wanted.map(({ id: pod, app, demands, exclusive, fingerprint }) => ({
        ...{ id: pod, app, demands, exclusive },
        works: !broken.has(fingerprint),
      })),
    };
  }

  return { nodes, pods, apps, broken, setNode, nodesPass, schedule, store, wishOf, worldOf };
}

export type ControlPlane = ReturnType<typeof openControlPlane>;
