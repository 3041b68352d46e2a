import { and, eq, sql } from "drizzle-orm";
import type { NodeId, ProjectId } from "../../contract/ids.ts";
import type { TokenKind } from "../../contract/token.ts";
import { anyOf, idList } from "../any-of.ts";
import type { Db } from "../client.ts";
import type { WishVersion } from "../nodes/desired.ts";
import { NOW_ROUTED, ROUTING_MARK } from "../nodes/routes.ts";
import { prepared } from "../prepared.ts";
import { nodeSessions } from "../schema/access.ts";
import { nodePlans, nodes, projects, type Scope, tokens } from "../schema/core.ts";
import { isLive } from "./tokens.ts";

/* Whose token it is, asked with every request: called by api alone. */

/** No sooner is it written down again that an agent was heard. */
const GRAIN = sql`interval '5 seconds'`;

export type CallerRow = {
  readonly id: string;
  readonly kind: TokenKind;
  readonly projectId: ProjectId;
  readonly projectName: string;
  readonly nodeName: string | null;
  /** In hex. */
  readonly secretHash: string;
  readonly scopes: readonly Scope[];
  /** Its last use was noted more than a minute ago, or never. */
  readonly stale: boolean;
  /** The node of a token that names one; null before it joined. */
  readonly node: NodeSpokenFor | null;
};

/** A node as its agents ask for it: one look, since each of thousands takes it again and again. */
export type NodeSpokenFor = {
  readonly id: NodeId;
  readonly fenced: boolean;
  /** The session that was heard within the last seconds; null: none was. */
  readonly heard: string | null;
  /** Which wish it should have; undefined when nobody has planned for it yet. */
  readonly wish: WishVersion | undefined;
};

const callers = prepared((db: Db) =>
  db
    .select({
      id: tokens.id,
      kind: tokens.kind,
      projectId: tokens.projectId,
      projectName: projects.name,
      nodeName: tokens.nodeName,
      secretHash: sql<string>`encode(${tokens.secretHash}, 'hex')`,
      scopes: tokens.scopes,
      stale: sql<boolean>`${tokens.lastUsedAt} is null or ${tokens.lastUsedAt} < now() - interval '1 minute'`,
      node: sql<NodeId | null>`${nodes.id}`,
      fenced: sql<boolean>`${nodes.fencedAt} is not null`,
      heard: sql<
        string | null
      >`case when ${nodeSessions.seenAt} > now() - ${GRAIN} then ${nodeSessions.session} end`,
      generation: sql<number | null>`${nodePlans.generation}::float8`,
      // Null of a generation from before there were marks.
      mark: sql<string | null>`${nodePlans.marks}[1]`,
      routing: NOW_ROUTED,
      routingMark: ROUTING_MARK,
    })
    .from(tokens)
    .innerJoin(projects, eq(projects.id, tokens.projectId))
    .leftJoin(nodes, eq(nodes.name, tokens.nodeName))
    .leftJoin(nodeSessions, eq(nodeSessions.nodeId, nodes.id))
    .leftJoin(nodePlans, eq(nodePlans.nodeId, nodes.id))
    .where(and(anyOf(tokens.id, sql.placeholder("ids")), isLive()))
    .prepare("callers"),
);

/**
 * The tokens of these ids that are neither expired nor revoked, by id. Whether the secret fits is the
 * caller's check.
 */
export async function findCallers(
  db: Db,
  ids: readonly string[],
): Promise<ReadonlyMap<string, CallerRow>> {
  const rows = await callers(db).execute({ ids: idList(ids) });
  return new Map(
    rows.map(({ node: id, fenced, heard, generation, mark, routing, routingMark, ...token }) => {
      const marks = { ...(mark && { mark }), ...(routingMark && { routingMark }) };
      const wish = generation === null ? undefined : { generation, routing, ...marks };
      return [token.id, { ...token, node: id && { id, fenced, heard, wish } }];
    }),
  );
}

/** The same of one. */
export async function findCaller(db: Db, id: string): Promise<CallerRow | undefined> {
  return (await findCallers(db, [id])).get(id);
}
