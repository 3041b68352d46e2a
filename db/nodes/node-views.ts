import { offered } from "../../contract/node/host.ts";
import { demandsOf } from "../../contract/placement/demands.ts";
import { withTenant } from "../../contract/placement/filter.ts";
import type { NodeView } from "../../contract/placement/node-view.ts";
import { NOTHING_TOLD, type WishSize } from "../../contract/placement/wish.ts";
import { allNodes, type NodeRow, podsTakingRoom, type TenantRow } from "../apps/placements.ts";
import type { Tx } from "../client.ts";
import type { WishSizes } from "./wish-sizes.ts";

export type Nodes = { readonly rows: readonly NodeRow[]; readonly views: readonly NodeView[] };

/** The nodes with what stands on them, as whoever looks for a pod's place sees them. */
export async function lookAtNodes(tx: Tx, told: WishSizes["nodes"]): Promise<Nodes> {
  const rows = await allNodes(tx);
  const tenants = Map.groupBy(await podsTakingRoom(tx), (it) => it.node);
  const views = rows.map((node) => nodeView(node, tenants.get(node.id) ?? [], told.get(node.id)));
  return { rows, views };
}

function nodeView(
  node: NodeRow,
  tenants: readonly TenantRow[],
  told: WishSize | undefined,
): NodeView {
  const empty: NodeView = {
    id: node.id,
    name: node.name,
    labels: node.labels,
    handlers: node.handlers ?? [],
    cordoned: node.cordoned,
    draining: node.draining,
    fenced: node.fencedAt !== null,
    seenAtMs: node.seenAt?.getTime() ?? 0,
    allocatable: offered(node.capacity ?? { cpuMillis: 0, memoryBytes: 0, pods: 0 }, node.most),
    tenants: [],
    used: { cpuMillis: 0, memoryBytes: 0, pods: 0 },
    wish: told ?? NOTHING_TOLD,
  };
  return tenants.reduce(
    (view, { pod, spec }) => withTenant(view, { pod, demands: demandsOf(spec) }),
    empty,
  );
}
