import { and, asc, eq, gt, inArray, isNull, lt, ne, or, sql } from "drizzle-orm";
import type { ProjectId } from "../../contract/ids.ts";
import type { Most } from "../../contract/node/host.ts";
import type { TokenKind } from "../../contract/token.ts";
import { anyOf, idList } from "../any-of.ts";
import type { Db, Tx } from "../client.ts";
import { prepared } from "../prepared.ts";
import { controlPlane } from "../schema/control.ts";
import { type Scope, tokens } from "../schema/core.ts";

/** Who made a token that no person asked for. */
export const INSTALLATION = "installation";

/** How long a node's token lives after its last use, in time in which it could have been used. */
const NODE_TOKEN_LIFE = sql`interval '24 hours'`;
/** No node's token lives unused for longer, whoever was away. */
const UNUSED_AT_MOST = sql`interval '30 days'`;
const LAST_USE = sql`coalesce(${tokens.lastUsedAt}, ${tokens.createdAt})`;
/** When a worker last found that nodes can be heard; null before any did. See nodes/control-plane.ts. */
const LAST_LOOK = sql`(select ${controlPlane.lastPassAt} from ${controlPlane})`;

/**
 * Notes the use of tokens, a minute's grain. A node's token slides: each use gives it another 24
 * hours, so that only a node that was away for a day by itself has to join again. The rows are taken in
 * one order, so that no two of these wait for each other.
 */
export async function touchTokens(db: Db, ids: readonly string[]): Promise<void> {
  await touch(db).execute({ ids: idList(ids) });
}

const touch = prepared((db: Db) => {
  const unnoted = db
    .select({ id: tokens.id })
    .from(tokens)
    .where(
      and(
        anyOf(tokens.id, sql.placeholder("ids")),
        or(isNull(tokens.lastUsedAt), lt(tokens.lastUsedAt, sql`now() - interval '1 minute'`)),
      ),
    )
    .orderBy(asc(tokens.id))
    .for("no key update");
  return db
    .update(tokens)
    .set({
      lastUsedAt: sql`now()`,
      expiresAt: sql`case when ${tokens.kind} = 'node' then now() + ${NODE_TOKEN_LIFE} else ${tokens.expiresAt} end`,
    })
    .where(inArray(tokens.id, unnoted))
    .prepare("touch_tokens");
});

/**
 * Gives the tokens of nodes the time back in which nobody could have heard them, since the last look: each
 * lives on with what was left to it then, or at its last use since. One that had ended by then stays so.
 * Those that are held are being used this moment: waiting for them, and they for these, could end in a knot.
 */
export async function resumeNodeTokens(tx: Tx): Promise<void> {
  const resting = tx
    .select({ id: tokens.id })
    .from(tokens)
    .where(and(eq(tokens.kind, "node"), isNull(tokens.revokedAt)))
    .for("no key update", { skipLocked: true });
  await tx
    .update(tokens)
    .set({
      expiresAt: sql`${tokens.expiresAt} + (now() - greatest(${LAST_USE}, ${LAST_LOOK}))`,
    })
    .where(inArray(tokens.id, resting));
}

export type NewToken = {
  readonly id: string;
  readonly kind: TokenKind;
  readonly projectId: ProjectId;
  readonly nodeName: string | null;
  /** What a join token gives its node; absent: the node keeps its own. */
  readonly nodeLabels?: Readonly<Record<string, string>>;
  readonly nodeMost?: Most;
  readonly secretHash: Uint8Array;
  readonly last4: string;
  readonly scopes: readonly Scope[];
  readonly createdBy: string;
  /** Null: for ever. */
  readonly lifeSeconds: number | null;
};

/** Stores a token's hash. A token that is stored already stays as it is. */
export async function insertToken(tx: Tx, token: NewToken): Promise<void> {
  const { lifeSeconds, nodeLabels, nodeMost, ...row } = token;
  await tx
    .insert(tokens)
    .values({
      ...row,
      scopes: [...row.scopes],
      nodeLabels: nodeLabels ? { ...nodeLabels } : null,
      nodeMost: nodeMost ?? null,
      expiresAt: lifeSeconds === null ? null : sql`now() + ${lifeSeconds} * interval '1 second'`,
    })
    .onConflictDoNothing();
}

/** The token of this id has exactly these scopes from now on. */
export async function grantScopes(tx: Tx, id: string, scopes: readonly Scope[]): Promise<void> {
  await tx
    .update(tokens)
    .set({ scopes: [...scopes] })
    .where(eq(tokens.id, id));
}

/** Whether somebody may join under this name now. */
export async function findJoinName(tx: Tx, nodeName: string): Promise<boolean> {
  const rows = await tx
    .select({ id: tokens.id })
    .from(tokens)
    .where(
      and(
        eq(tokens.kind, "join"),
        eq(tokens.nodeName, nodeName),
        isNull(tokens.revokedAt),
        notExpired(),
      ),
    );
  return rows.length > 0;
}

/** What a join token says of its node; null: the node keeps what it has. */
export type Joining = {
  readonly labels: Readonly<Record<string, string>> | null;
  readonly most: Most | null;
  /** A person asked for it, and not the installation by itself. */
  readonly meant: boolean;
};

/**
 * Uses up a join token: the host of the key that comes first has it, and may ask again while it lives,
 * since an answer can be lost. Undefined for every other one.
 */
export async function useJoinToken(
  tx: Tx,
  id: string,
  publicKey: Uint8Array,
): Promise<Joining | undefined> {
  const [used] = await tx
    .update(tokens)
    .set({ usedBy: publicKey, lastUsedAt: sql`now()` })
    .where(
      and(
        eq(tokens.id, id),
        eq(tokens.kind, "join"),
        isNull(tokens.revokedAt),
        notExpired(),
        or(isNull(tokens.usedBy), eq(tokens.usedBy, publicKey)),
      ),
    )
    .returning({ labels: tokens.nodeLabels, most: tokens.nodeMost, by: tokens.createdBy });
  return used && { labels: used.labels, most: used.most, meant: used.by !== INSTALLATION };
}

/** Ends the tokens of this kind that a node has, but for `keep` where there is one. */
export async function revokeNodeTokens(
  tx: Tx,
  kind: "node" | "join",
  nodeName: string,
  keep?: string,
): Promise<void> {
  await tx
    .update(tokens)
    .set({ revokedAt: sql`now()` })
    .where(
      and(
        eq(tokens.kind, kind),
        eq(tokens.nodeName, nodeName),
        keep === undefined ? undefined : ne(tokens.id, keep),
        isNull(tokens.revokedAt),
      ),
    );
}

/**
 * Of a token that it was not revoked and has not expired. For a node's it is as late as at the last look: while
 * nobody looks, or no node can be heard, time stands still for it.
 */
export function isLive() {
  const lasts = and(
    gt(tokens.expiresAt, sql`least(now(), ${LAST_LOOK})`),
    gt(LAST_USE, sql`now() - ${UNUSED_AT_MOST}`),
  );
  return and(
    isNull(tokens.revokedAt),
    or(and(eq(tokens.kind, "node"), lasts), and(ne(tokens.kind, "node"), notExpired())),
  );
}

function notExpired() {
  return or(isNull(tokens.expiresAt), gt(tokens.expiresAt, sql`now()`));
}
