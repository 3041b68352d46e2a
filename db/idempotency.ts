import { and, eq, sql } from "drizzle-orm";
import type { ProjectId } from "../contract/ids.ts";
import type { Tx } from "./client.ts";
import { idempotencyKeys } from "./schema/access.ts";

export type IdempotentRequest = {
  readonly projectId: ProjectId;
  readonly tokenId: string;
  readonly key: string;
  readonly requestHash: string;
};

export type Claim =
  | { readonly kind: "first" }
  | { readonly kind: "again"; readonly status: number; readonly body: unknown }
  /** The same key stands for another request. */
  | { readonly kind: "reused" }
  /** The first request with this key has not been answered yet. */
  | { readonly kind: "in-flight" };

/**
 * Claims a key for the transaction's length. The answer is kept by the transaction that makes the
 * change, so a crash leaves either both or neither, and no key is ever stuck.
 */
export async function claimKey(tx: Tx, request: IdempotentRequest): Promise<Claim> {
  const { projectId, tokenId, key } = request;
  const [lock] = await tx.execute<{ got: boolean }>(
    sql`select pg_try_advisory_xact_lock(hashtextextended(${`${projectId}|${tokenId}|${key}`}, 0)) as got`,
  );
  if (lock?.got !== true) return { kind: "in-flight" };
  return (await findAnswer(tx, request)) ?? { kind: "first" };
}

/** What the key's first request was answered, if it was; takes no lock. */
export async function findAnswer(
  tx: Tx,
  request: IdempotentRequest,
): Promise<Extract<Claim, { kind: "again" | "reused" }> | undefined> {
  const [row] = await tx
    .select()
    .from(idempotencyKeys)
    .where(
      and(
        eq(idempotencyKeys.projectId, request.projectId),
        eq(idempotencyKeys.tokenId, request.tokenId),
        eq(idempotencyKeys.key, request.key),
      ),
    );
  if (!row) return undefined;
  if (row.requestHash !== request.requestHash) return { kind: "reused" };
  return { kind: "again", status: row.status, body: parsed(row.body) };
}

/** Keeps the answer, a text so that not even the order of its keys changes, for whoever asks again with this key. */
export async function keepAnswer(
  tx: Tx,
  request: IdempotentRequest,
  answer: { status: number; body: string },
): Promise<void> {
  await tx.insert(idempotencyKeys).values({ ...request, ...answer });
}

/** drizzle parses a JSON text that stands in a jsonb column, other drivers hand it over as it is. */
function parsed(body: unknown): unknown {
  return typeof body === "string" ? JSON.parse(body) : body;
}
