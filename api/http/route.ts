import type { Context } from "hono";
import type { z } from "zod";
import { PROTOCOL, PROTOCOL_HEADER } from "../../contract/node/skew.ts";
import { Problem } from "../../contract/problem.ts";
import type { TokenKind } from "../../contract/token.ts";
import type { Scope } from "../../db/schema/core.ts";
import type { ApiDeps } from "../deps.ts";
import type { Caller } from "./auth.ts";

type Method = "GET" | "PUT" | "POST" | "PATCH" | "DELETE";

/** What every route says about itself before it does anything: security.md, rule 2. */
export type Census = {
  readonly method: Method;
  /** As Hono spells it. */
  readonly path: string;
  /** The kinds of token that it takes, or `open` for the few that take none. */
  readonly auth: readonly TokenKind[] | "open";
  /**
   * What a person's token needs, of several any one; a node's has no scopes, and sees its own node's
   * things only.
   */
  readonly scope: Scope | readonly Scope[] | null;
  /** Whose things it shows: the token's project, the token's node, or the whole installation's. */
  readonly project: "own" | "node" | "installation";
  /** The word that its audit rows carry; null where nothing is changed. */
  readonly audit: string | null;
  /** The largest body in bytes; 0 where none is taken; `artifact` is the installation's limit. */
  readonly bodyLimit: number | "artifact";
  readonly summary: string;
  readonly query: z.ZodObject;
  readonly body?: z.ZodType | "bytes";
  readonly answers: Readonly<Record<number, z.ZodType | string>>;
};

/** The scopes of which a person's token needs one; none where any token will do. */
export function scopesOf({ scope }: Pick<Census, "scope">): readonly Scope[] {
  if (scope === null) return [];
  return typeof scope === "string" ? [scope] : scope;
}

/** Whether a person's token with these scopes may use the route. */
export function isInScope(route: Pick<Census, "scope">, scopes: readonly Scope[]): boolean {
  const wanted = scopesOf(route);
  return wanted.length === 0 || wanted.some((it) => scopes.includes(it));
}

/** What every answer of a route has beside its own. */
export function headersOf({ project }: Pick<Census, "project">): Readonly<Record<string, string>> {
  return project === "node" ? { [PROTOCOL_HEADER]: String(PROTOCOL) } : {};
}

/** One request to one route, checked: who asks is known and may, and the query is of its schema. */
export type Call<Query = unknown> = {
  readonly c: Context;
  readonly deps: ApiDeps;
  readonly route: Census;
  readonly query: Query;
  readonly requestId: string;
};

export type KnownCall<Query = unknown> = Call<Query> & { readonly caller: Caller };

export type Route = Census & {
  readonly handle: (call: KnownCall<never>) => Promise<Response> | Response;
};

/** A route that wants a token. */
export function route<Query extends z.ZodObject>(
  census: Census & {
    readonly auth: readonly TokenKind[];
    readonly query: Query;
    readonly handle: (call: KnownCall<z.infer<Query>>) => Promise<Response>;
  },
): Route {
  return census;
}

/** A route that anyone may ask. */
export function openRoute(
  census: Census & {
    readonly auth: "open";
    readonly handle: (call: Call<never>) => Promise<Response> | Response;
  },
): Route {
  return census;
}

export const PEOPLE = ["personal", "service"] as const;

/** The named part of the path; Hono gives every one that the pattern names. Nothing has a name with a NUL. */
export function pathPart(call: Pick<Call, "c">, name: string): string {
  const value: string | undefined = call.c.req.param(name);
  if (value === undefined) throw new Error(`the route has no part named "${name}"`);
  if (value.includes("\0")) throw new Problem("not-found", "No name holds a NUL.");
  return value;
}
