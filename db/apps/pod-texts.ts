import { sql } from "drizzle-orm";
import type { ReleaseId } from "../../contract/ids.ts";
import { type Demands, demandsOf } from "../../contract/placement/demands.ts";
import type { Pod } from "../../contract/pod/pod.ts";
import type { Tx } from "../client.ts";
import { pods, podTexts } from "../schema/core.ts";

/*
 * A release's pods differ in their names and ids alone. What they have in common is stored once, with what
 * it asks of a node, so that a pod is a short row and whoever looks for room reads no text.
 */

/** What one pod is, as its node is told it; to be joined with `podTexts`. */
export const podSpec = sql<Pod>`(${podTexts.spec} || jsonb_build_object('metadata',
  (${podTexts.spec} -> 'metadata') || jsonb_build_object('name', ${pods.name}, 'uid', ${pods.id})))`;

/** What a text asks of a node, to be read by `demandsIn`. */
export const askedByText = {
  demands: podTexts.demands,
  unread: sql<Pod | null>`case when ${podTexts.demands} is null then ${podTexts.spec} end`,
};

/** Of a text from before demands were stored, what the text itself says: never nothing. */
export function demandsIn(text: {
  readonly demands: Demands | null;
  readonly unread: Pod | null;
}): Demands {
  if (text.demands) return text.demands;
  if (text.unread) return demandsOf(text.unread);
  throw new Error("a pod's text was read without its demands");
}

export type PodText = {
  readonly id: number;
  readonly spec: Pod;
  readonly demands: Demands;
  readonly wireBytes: number;
};

/** The texts with these ids. */
export async function readTexts(
  tx: Tx,
  ids: ReadonlySet<number>,
): Promise<ReadonlyMap<number, PodText>> {
  if (ids.size === 0) return new Map();
  const rows = await tx
    .select({
      id: podTexts.id,
      spec: podTexts.spec,
      demands: podTexts.demands,
      wireBytes: podTexts.wireBytes,
    })
    .from(podTexts)
    .where(sql`${podTexts.id} = any(${sql.param([...ids])}::bigint[])`);
  return new Map(
    rows.map((row) => [row.id, { ...row, demands: row.demands ?? demandsOf(row.spec) }]),
  );
}

// ---- called by worker/schedule alone, with the release's app locked ----------------------------------

/** What a release's pods are, under a name and an id as long as theirs, and what that asks of a node. */
export type NewText = { readonly spec: Pod; readonly demands: Demands };

/** The ids of these texts, one a release; those that are not there yet are stored. */
export async function keepTexts(
  tx: Tx,
  texts: ReadonlyMap<ReleaseId, NewText>,
): Promise<ReadonlyMap<ReleaseId, number>> {
  if (texts.size === 0) return new Map();
  const asked = [...texts].map(([release, text]) => ({ release, ...text }));
  const rows = await tx.execute<{ release: ReleaseId; id: string }>(sql`
    with asked as (
      select * from jsonb_to_recordset(${JSON.stringify(asked)}::jsonb)
        as it (release uuid, spec jsonb, demands jsonb)),
    there as (
      select release, max(id) as id
      from asked join pod_texts held on held.release_id = release and held.spec = asked.spec
      group by release),
    made as (
      insert into pod_texts (release_id, spec, demands)
      select release, spec, demands from asked where release not in (select release from there)
      returning release_id, id)
    select release, id from there union all select release_id, id from made`);
  return new Map(rows.map(({ release, id }) => [release, Number(id)]));
}
