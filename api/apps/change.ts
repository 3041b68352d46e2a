import { Problem } from "../../contract/problem.ts";
import { recordAudit, recordAuditOnce } from "../../db/access/audit.ts";
import type { Db, Tx } from "../../db/client.ts";
import {
  type Claim,
  claimKey,
  findAnswer,
  type IdempotentRequest,
  keepAnswer,
} from "../../db/idempotency.ts";
import { sha256Hex } from "../deps.ts";
import { actorName } from "../http/auth.ts";
import type { KnownCall } from "../http/route.ts";

export type Changed<T> = {
  readonly status: number;
  readonly value: T;
  /** What the audit says of it; nothing where nothing was changed. */
  readonly audits: readonly {
    /** Where the route's own word does not fit. */
    readonly action?: string;
    readonly object: string;
    readonly before: string | null;
    readonly after: string | null;
  }[];
};

export type ChangeOutcome<T> = {
  readonly status: number;
  readonly value: T;
  readonly replayed: boolean;
};

/**
 * Makes a change in one transaction, with its audit rows and, for a POST with an Idempotency-Key,
 * the answer that a repeated request will get. `value` must survive JSON.
 */
export async function change<T>(
  call: KnownCall,
  body: string,
  act: (tx: Tx) => Promise<Changed<T>>,
): Promise<ChangeOutcome<T>> {
  const request = idempotentRequest(call, body);
  return await call.deps.db.transaction(async (tx: Tx & Pick<Db, "transaction">) => {
    if (request) {
      const kept = answerOf<T>(await claimKey(tx, request));
      if (kept) return kept;
    }
    const { status, value, audits } = await act(tx);
    for (const audit of audits) await recordAudit(tx, { ...auditBase(call), ...audit });
    if (request) await keepAnswer(tx, request, { status, body: JSON.stringify(value) });
    return { status, value, replayed: false };
  });
}

/** The answer that this request's key has already, before any work is done for it. */
export async function replay<T>(
  call: KnownCall,
  body: string,
): Promise<ChangeOutcome<T> | undefined> {
  const request = idempotentRequest(call, body);
  const found = request && (await findAnswer(call.deps.db, request));
  return found && answerOf<T>(found);
}

/** Of a request that its path does not say. */
type Denied = { readonly action: string; readonly object: string };

/** A change that the caller may not make is on record as well. */
export async function auditDenied(call: KnownCall, what?: Denied): Promise<void> {
  await recordAudit(call.deps.db, denial(call, what));
}

/** The same for what an agent asks again and again: once in ten minutes. */
export async function auditDeniedOnce(call: KnownCall, what?: Denied): Promise<void> {
  await recordAuditOnce(call.deps.db, denial(call, what), 600);
}

function denial(call: KnownCall, what?: Denied) {
  // As it was sent, encoded: decoded it may hold what no database does.
  const object = new URL(call.c.req.url).pathname.slice(0, 300);
  const entry = { object, ...what, before: null, after: null };
  return { ...auditBase(call), ...entry, result: "denied" as const };
}

/** Some looks are on record as well: into what an app says, and into its containers. */
export async function recordRead(call: KnownCall, object: string): Promise<void> {
  await recordAudit(call.deps.db, { ...auditBase(call), object, before: null, after: null });
}

export function hashOf(call: Pick<KnownCall, "deps">, text: string): string {
  return `sha256:${sha256Hex(call.deps, text)}`;
}

function auditBase(call: KnownCall) {
  return {
    projectId: call.caller.projectId,
    actor: actorName(call.caller),
    action: call.route.audit ?? `${call.route.method} ${call.route.path}`,
    requestId: call.requestId,
    ip: call.deps.addressOf(call.c),
    result: "done" as const,
  };
}

function idempotentRequest(call: KnownCall, body: string): IdempotentRequest | undefined {
  const key = call.c.req.header("idempotency-key");
  if (call.route.method !== "POST" || key === undefined) return undefined;
  // A host's answers may hold its token, and only a hash of that is ever kept.
  if (call.caller.nodeName !== null) return undefined;
  if (!/^[\x21-\x7e][\x20-\x7e]{0,254}$/.test(key)) {
    throw new Problem("query-invalid", "An Idempotency-Key has 1 to 255 printable characters.");
  }
  const url = new URL(call.c.req.url);
  const length = call.c.req.header("content-length") ?? "";
  // The token keys the hash: a body may hold a secret, and a plain hash of it could be tried out.
  const token = call.c.req.header("authorization") ?? "";
  return {
    projectId: call.caller.projectId,
    tokenId: call.caller.tokenId,
    key,
    requestHash: sha256Hex(
      call.deps,
      ["POST", url.pathname + url.search, length, token, body].join("\n"),
    ),
  };
}

function answerOf<T>(claim: Claim): ChangeOutcome<T> | undefined {
  if (claim.kind === "first") return undefined;
  if (claim.kind === "again") {
    return { status: claim.status, value: claim.body as T, replayed: true };
  }
  throw new Problem(
    "idempotency-key-reused",
    claim.kind === "reused"
      ? "This Idempotency-Key came with another request before; take a new one."
      : "A request with this Idempotency-Key is under way; ask again in a second.",
    claim.kind === "in-flight" ? { extras: { retry: true } } : {},
  );
}
