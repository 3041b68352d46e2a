import type { ProjectId } from "../../contract/ids.ts";
import { Problem } from "../../contract/problem.ts";
import { parseToken, type TokenKind } from "../../contract/token.ts";
import type { NodeSpokenFor } from "../../db/access/callers.ts";
import type { Scope } from "../../db/schema/core.ts";
import { type ApiDeps, sha256Hex } from "../deps.ts";

/** Who asks. */
export type Caller = {
  readonly kind: TokenKind;
  readonly tokenId: string;
  readonly projectId: ProjectId;
  readonly projectName: string;
  /** Set for the kinds node and join. */
  readonly nodeName: string | null;
  readonly scopes: readonly Scope[];
  /** How a node's token stood when it was asked with; null for people's, and before a host joined. */
  readonly node: NodeSpokenFor | null;
};

/** Whom audit rows and releases name. */
export function actorName(caller: Caller): string {
  return caller.nodeName === null
    ? `${caller.kind}:${caller.tokenId}`
    : `${caller.kind}:${caller.nodeName}`;
}

/**
 * The caller whom an Authorization header proves, or a 401. A mistyped token costs no query; an
 * unknown one costs the same hashing and comparing as a known one. `basic` also takes the token
 * as the password of any user, for the programs that pull images.
 */
export async function authenticate(
  deps: ApiDeps,
  header: string | undefined,
  options: { basic: boolean },
): Promise<Caller> {
  const text = credential(header, options.basic);
  if (text === undefined) {
    throw new Problem("no-token", "Send the header: Authorization: Bearer <token>");
  }
  const token = parseToken(text);
  if (token === undefined) throw invalid();
  const row = await deps.ask.caller(token.id);
  const given = sha256Hex(deps, token.secret);
  const fits = sameText(given, row?.secretHash ?? "0".repeat(64));
  if (!row || !fits || row.kind !== token.kind) throw invalid();
  if (row.stale && row.kind !== "join") await deps.ask.touch(row.id);
  const { kind, projectId, projectName, nodeName, scopes, node } = row;
  return { kind, tokenId: row.id, projectId, projectName, nodeName, scopes, node };
}

function credential(header: string | undefined, basic: boolean): string | undefined {
  const [, scheme = "", value = ""] = /^(\S+) +(\S+) *$/.exec(header ?? "") ?? [];
  if (scheme.toLowerCase() === "bearer") return value;
  if (!basic || scheme.toLowerCase() !== "basic" || !/^[A-Za-z0-9+/]+=*$/.test(value)) return;
  try {
    return /^[^:]*:(.*)$/s.exec(atob(value))?.[1];
  } catch (error) {
    if (error instanceof DOMException) return undefined; // not base64 after all
    throw error;
  }
}

function invalid(): Problem {
  return new Problem("token-invalid", "This token is unknown, has expired or was revoked.");
}

/** Looks at every character wherever the first difference is. */
function sameText(a: string, b: string): boolean {
  let difference = a.length ^ b.length;
  for (let at = 0; at < a.length; at++) difference |= a.charCodeAt(at) ^ b.charCodeAt(at);
  return difference === 0;
}
