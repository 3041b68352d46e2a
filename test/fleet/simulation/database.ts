import type { NodeId, PodId, ReleaseId } from "../../../contract/ids.ts";
import type { DesiredState } from "../../../contract/node/protocol.ts";
import type { Demands } from "../../../contract/placement/demands.ts";
import { withTenant } from "../../../contract/placement/filter.ts";
import type { NodeView } from "../../../contract/placement/node-view.ts";
import { NOTHING_TOLD } from "../../../contract/placement/wish.ts";
import type { Pod } from "../../../contract/pod/pod.ts";
import type { PodView, ReleaseView, RollingPhase } from "../../../worker/schedule/world.ts";
import type { Asked, Frozen } from "./declared.ts";

/* What PostgreSQL is to the planners: rows in maps, and the rules of db/'s queries over them. */

export type Phase = RollingPhase | "retired" | "failed" | "superseded" | "cancelled";
export type ReleaseRow = {
  readonly frozen: Frozen;
  readonly view: ReleaseView;
  readonly asked: Asked;
  readonly phase: Phase;
};
export type AppRow = {
  readonly name: string;
  readonly deleted: boolean;
  /** Oldest first. */
  readonly releases: readonly ReleaseRow[];
};
export type PodRow = {
  readonly view: PodView;
  readonly app: string;
  readonly spec: Pod;
  readonly demands: Demands;
  /** The generation of its node's wish from which on it is not in it. */
  readonly goneGeneration: number | undefined;
};
export type NodeRow = Omit<NodeView, "tenants" | "used" | "wish" | "labels" | "handlers"> & {
  readonly generation: number;
  /** The newest one that its agent reported; -1 for none. */
  readonly observed: number;
};

/** Wanted, seen, or gone without its node having said that it knows: `notYetGone` in db/apps/placements.ts. */
function isKnown({ view, goneGeneration = 0 }: PodRow, node: NodeRow | undefined): boolean {
  return (
    view.wanted === "run" || view.seen !== undefined || goneGeneration > (node?.observed ?? -1)
  );
}

function isOver({ view }: PodRow): boolean {
  return view.seen?.status.phase === "Succeeded" || view.seen?.status.phase === "Failed";
}

export type Database = ReturnType<typeof openDatabase>;

export function openDatabase() {
  const nodes = new Map<NodeId, NodeRow>();
  const pods = new Map<PodId, PodRow>();
  const apps = new Map<string, AppRow>();
  /** Named volumes, with the node that holds each. */
  const volumes = new Map<string, NodeId | undefined>();
  const byNode = new Map<NodeId, Set<PodId>>();
  const byApp = new Map<string, Set<PodId>>();
  const views = new Map<NodeId, NodeView>();
  /** All of them in one list, which is made anew where one is another. */
  let inOrder: readonly NodeView[] | undefined;
  const control = { calmSinceMs: 0, lastPassAtMs: Number.NEGATIVE_INFINITY };

  const rowsOf = (ids: ReadonlySet<PodId> | undefined): readonly PodRow[] =>
    [...(ids ?? [])].map((id) => pods.get(id) as PodRow);

  function setNode(id: NodeId, change: Partial<NodeRow>): void {
    const before = nodes.get(id);
    if (!before) return;
    const row = { ...before, ...change };
    nodes.set(id, row);
    if (before.observed === row.observed) views.set(id, { ...viewOf(id), ...row });
    else views.delete(id);
    inOrder = undefined;
  }

  function addNode(row: NodeRow): void {
    nodes.set(row.id, row);
    byNode.set(row.id, new Set());
    inOrder = undefined;
  }

  function removeNode(id: NodeId): void {
    for (const pod of [...(byNode.get(id) ?? [])]) removePod(pod);
    for (const map of [nodes, byNode, views]) map.delete(id);
    inOrder = undefined;
  }

  function setPod(row: PodRow): void {
    const { id, node } = row.view;
    pods.set(id, row);
    byNode.get(node)?.add(id);
    byApp.set(row.app, (byApp.get(row.app) ?? new Set()).add(id));
    views.delete(node);
    inOrder = undefined;
  }

  function removePod(id: PodId): void {
    const row = pods.get(id);
    if (!row) return;
    pods.delete(id);
    byNode.get(row.view.node)?.delete(id);
    byApp.get(row.app)?.delete(id);
    views.delete(row.view.node);
    inOrder = undefined;
  }

  function viewOf(id: NodeId): NodeView {
    const known = views.get(id);
    if (known) return known;
    const row = nodes.get(id) as NodeRow;
    const nothing = { tenants: [], used: { cpuMillis: 0, memoryBytes: 0, pods: 0 } };
    const empty: NodeView = { ...row, ...nothing, labels: {}, handlers: [], wish: NOTHING_TOLD };
    const view = rowsOf(byNode.get(id))
      .filter((it) => isKnown(it, row) && !isOver(it))
      .reduce((sum, { view: { id: pod }, demands }) => withTenant(sum, { pod, demands }), empty);
    views.set(id, view);
    return view;
  }

  function nodeViews(): readonly NodeView[] {
    inOrder ??= [...nodes.keys()].map(viewOf);
    return inOrder;
  }

  /** A backup: what is answered brings everything back to how it is now. */
  function backUp(): () => void {
    const maps: readonly Map<unknown, unknown>[] = [nodes, pods, apps, volumes];
    const copies = maps.map((it) => [...it]);
    return () => {
      for (const [at, map] of maps.entries()) {
        map.clear();
        for (const [key, row] of copies[at] ?? []) map.set(key, row);
      }
      for (const map of [byNode, byApp, views]) map.clear();
      for (const id of nodes.keys()) byNode.set(id, new Set());
      for (const row of pods.values()) setPod(row);
    };
  }

  return {
    ...{ nodes, pods, apps, volumes, control, setNode, addNode, removeNode, setPod, backUp },
    nodeViews,
    podsOn: (node: NodeId) => rowsOf(byNode.get(node)),
    podsOf: (app: string) =>
      rowsOf(byApp.get(app)).filter((it) => isKnown(it, nodes.get(it.view.node))),
    /** The wish of one moment, as a node is answered. */
    desired: (node: NodeId): DesiredState => ({
      ...{ node, generation: nodes.get(node)?.generation ?? 0, routing: 0 },
      pods: rowsOf(byNode.get(node))
        .filter((it) => it.view.wanted === "run")
        .map((it) => it.spec),
      ...{ routes: [], peers: [], configMaps: [], secrets: [], keepImages: [], purgeVolumes: [] },
    }),
    release: (app: AppRow, id: ReleaseId): ReleaseRow => {
      const row = app.releases.find((it) => it.view.id === id);
      if (!row) throw new Error("the plan names a release that is not there");
      return row;
    },
  };
}
