import { type Context, Hono } from "hono";
import { Problem } from "../../contract/problem.ts";
import { auditDenied } from "../apps/change.ts";
import { ROUTES } from "../census.ts";
import type { ApiDeps } from "../deps.ts";
import { authenticate, type Caller } from "./auth.ts";
import { NO_FIELDS, readRequest, readText } from "./body.ts";
import { openapiRoute } from "./openapi.ts";
import { answerError, problemResponse } from "./problems.ts";
import { readQuery } from "./query.ts";
import { headersOf, isInScope, type KnownCall, type Route, scopesOf } from "./route.ts";

export type ApiApp = Hono<{ Variables: { requestId: string } }>;

/** The whole census: what people wrote, and the description of it. */
export function allRoutes(): readonly Route[] {
  return [...ROUTES, openapiRoute(ROUTES)];
}

/** The whole HTTP surface, not listening. */
export function httpApi(deps: ApiDeps, routes: readonly Route[] = allRoutes()): ApiApp {
  const app: ApiApp = new Hono();
  app.use(async (c, next) => {
    const asked = c.req.header("x-request-id") ?? "";
    const id = /^[A-Za-z0-9._-]{1,64}$/.test(asked) ? asked : crypto.randomUUID();
    c.set("requestId", id);
    // Before, what Hono makes has it from the start; to add it to what is finished makes all of it anew.
    c.header("x-request-id", id);
    await next();
    if (c.res.headers.get("x-request-id") !== id) c.header("x-request-id", id);
  });
  app.onError((error, c) => answerError(error, c, deps.log, c.get("requestId")));
  for (const route of routes) {
    app.on(route.method, route.path, (c) => serve(deps, route, c));
  }
  for (const [path, allow] of methodsByPath(routes)) {
    const problem = new Problem("method-not-allowed", `This path takes ${allow}.`);
    app.all(path, () => problemResponse(problem, { allow }));
  }
  app.notFound((c) => {
    const problem = new Problem("not-found", `There is nothing at ${c.req.path.slice(0, 200)}.`);
    return answerError(problem, c, deps.log, c.get("requestId"));
  });
  return app;
}

/** What holds for every route, in this order: who asks, whether they may, what they ask. */
async function serve(
  deps: ApiDeps,
  route: Route,
  c: Context<{ Variables: { requestId: string } }>,
): Promise<Response> {
  const requestId = c.get("requestId");
  const base = { c, deps, route, requestId };
  if (route.auth === "open") {
    return await route.handle({ ...base, query: readQuery(c.req.url, route.query) } as never);
  }
  const basic = route.path.startsWith("/v2/");
  const caller = await authenticate(deps, c.req.header("authorization"), { basic });
  const call: KnownCall = { ...base, caller, query: undefined };
  if (!mayAsk(caller, route)) {
    if (route.audit !== null) await auditDenied(call);
    throw new Problem("forbidden", forbiddenBecause(caller, route));
  }
  refuseUnwantedBody(c, route);
  if (route.body === NO_FIELDS.body) readRequest(call, await readText(call), NO_FIELDS.body);
  const query = readQuery(c.req.url, route.query);
  for (const [name, value] of Object.entries(headersOf(route))) c.header(name, value);
  return await route.handle({ ...call, query } as never);
}

function mayAsk(caller: Caller, route: Route): boolean {
  const isPerson = caller.nodeName === null;
  return route.auth.includes(caller.kind) && (!isPerson || isInScope(route, caller.scopes));
}

function forbiddenBecause(caller: Caller, route: Route): string {
  if (!route.auth.includes(caller.kind)) {
    return `A token of the kind ${caller.kind} has no use here.`;
  }
  return `This needs a token with the scope ${scopesOf(route).join(" or ")}.`;
}

function refuseUnwantedBody(c: Context, route: Route): void {
  if (route.bodyLimit !== 0) return;
  const length = Number(c.req.header("content-length") ?? 0);
  if (length > 0 || c.req.header("transfer-encoding") !== undefined) {
    throw new Problem("body-invalid", `${route.method} takes no body here.`);
  }
}

function methodsByPath(routes: readonly Route[]): ReadonlyMap<string, string> {
  const groups = Map.groupBy(routes, ({ path }) => path);
  return new Map(
    [...groups].map(([path, group]) => {
      const methods = group.flatMap(({ method }) =>
        method === "GET" ? ["GET", "HEAD"] : [method],
      );
      return [path, methods.join(", ")];
    }),
  );
}
