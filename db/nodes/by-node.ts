import type { NodeId } from "../../contract/ids.ts";

/** What was read for many nodes at once, for each of them, in the order of the rows. */
export function byNode<Row extends { readonly node: NodeId }, Value>(
  rows: Iterable<Row>,
  pick: (row: Row) => Value,
): ReadonlyMap<NodeId, Value[]> {
  const groups = new Map<NodeId, Value[]>();
  for (const row of rows) {
    const group = groups.get(row.node);
    if (group) group.push(pick(row));
    else groups.set(row.node, [pick(row)]);
  }
  return groups;
}
