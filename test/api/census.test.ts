import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { allRoutes, httpApi } from "../../api/http/app.ts";
import type { Route } from "../../api/http/route.ts";
import { formatToken, makeToken } from "../../contract/token.ts";
import { type AskOptions, aToken, startApi, type TestApi } from "../support/api.ts";
import { joinedNode } from "../support/declared.ts";
import { aPodDocument, apply, claiming } from "../support/materials.ts";

const ROUTES = allRoutes();
const named = (route: Route) => `${route.method} ${route.path}`;
const concrete = (route: Route) =>
  route.path
    .replace(/:n\b|:m\b/g, "1")
    .replace(":app", "shop")
    .replace("*", "base/x/blobs/y");
const guarded = ROUTES.filter((route) => route.auth !== "open");
const forPeople = guarded.filter((route) => route.auth.includes("personal"));
const forPeopleAlone = forPeople.filter((route) => !route.auth.includes("node"));
const forNodes = guarded.filter((route) => !route.auth.includes("personal"));

const knock = (api: TestApi, route: Route, token: string | null) =>
  api.ask(concrete(route), { method: route.method, token });

test("every route that answers stands in the census, with all that it must say", async () => {
  await using api = await startApi();

  const mounted = httpApi(api.deps).routes.filter((it) => it.path !== "/*");

  const known = new Set(ROUTES.map(named));
  const paths = new Set(ROUTES.map((it) => it.path));
  for (const { method, path } of mounted) {
    // ALL is the answer 405 for the other methods of a known path.
    if (method === "ALL") expect(paths).toContain(path);
    else expect(known).toContain(`${method} ${path}`);
  }
  for (const route of ROUTES) {
    const says = { ...route, handle: undefined, body: undefined };
    expect(Object.keys(says), named(route)).toEqual(
      expect.arrayContaining([
        "auth",
        "scope",
        "project",
        "audit",
        "bodyLimit",
        "query",
        "summary",
      ]),
    );
    if (route.method !== "GET" && route.project === "own") {
      expect(route.audit, `${named(route)} changes something`).not.toBeNull();
    }
  }
});

test("only health and the script that a new host begins with are open", () => {
  const open = ROUTES.filter((route) => route.auth === "open").map(named);

  expect(open).toEqual(["GET /healthz", "GET /readyz", "GET /metrics", "GET /install.sh"]);
});

test("no token is a 401 everywhere, and so is a wrong, a mistyped, an expired and a revoked one", async () => {
  await using api = await startApi();
  const { project } = api;
  const revoked = await aToken(api.db, { kind: "personal", project });
  await api.db.execute(
    sql`update tokens set revoked_at = now() where id = ${revoked.slice(4, 14)}`,
  );
  const tokens = {
    none: null,
    unknown: makeToken("personal", (count) => crypto.getRandomValues(new Uint8Array(count))).text,
    mistyped: `${api.token.slice(0, -1)}${api.token.endsWith("a") ? "b" : "a"}`,
    expired: await aToken(api.db, { kind: "personal", project, lifeSeconds: -1 }),
    revoked,
    "of the right id and another secret": swapSecret(api.token),
  };

  for (const route of guarded) {
    for (const [what, token] of Object.entries(tokens)) {
      const answer = await knock(api, route, token);
      expect(answer.status, `${what}: ${named(route)}`).toBe(401);
      expect(answer.headers.get("www-authenticate")).toMatch(
        route.path.startsWith("/v2/") ? /^Basic realm="waybill"$/ : /^Bearer$/,
      );
    }
  }
});

test("a token in the query, a cookie or a body is no token", async () => {
  await using api = await startApi();

  const inQuery = await api.ask(`/v1/apps?token=${api.token}`, { token: null });
  const inCookie = await api.ask("/v1/apps", {
    token: null,
    headers: { cookie: `token=${api.token}` },
  });
  const basic = await api.ask("/v1/apps", {
    token: null,
    headers: { authorization: `Basic ${btoa(`admin:${api.token}`)}` },
  });

  expect([inQuery.status, inCookie.status, basic.status]).toEqual([401, 401, 401]);
});

test("a node's token opens no door of people, and a person's token none of nodes", async () => {
  await using api = await startApi();
  const node = await aToken(api.db, { kind: "node", project: api.project, node: "local" });
  const join = await aToken(api.db, { kind: "join", project: api.project, node: "local" });

  for (const route of forPeople) {
    expect((await knock(api, route, join)).status, named(route)).toBe(403);
  }
  for (const route of forPeopleAlone) {
    expect((await knock(api, route, node)).status, named(route)).toBe(403);
  }
  for (const route of forNodes) {
    expect((await knock(api, route, api.token)).status, named(route)).toBe(403);
  }
});

test("a token without the scope is refused, and a refused change is on record", async () => {
  await using api = await startApi();
  const token = await aToken(api.db, { kind: "service", project: api.project, scopes: [] });

  for (const route of forPeople.filter((it) => it.scope !== null)) {
    expect((await knock(api, route, token)).status, named(route)).toBe(403);
  }

  const denied = await api.db.execute(sql`select distinct action, result from audit order by 1`);
  const changes = new Set(forPeople.flatMap((it) => it.audit ?? []));
  expect([...denied]).toEqual([...changes].sort().map((action) => ({ action, result: "denied" })));
});

test("strangers leave no trace, however often they knock", async () => {
  await using api = await startApi();

  for (const route of guarded) await knock(api, route, null);

  expect(await api.db.execute(sql`select 1 from audit`)).toHaveLength(0);
});

test("an unknown path is a 404, another method a 405 that names the right ones", async () => {
  await using api = await startApi();

  const unknown = await api.ask("/v1/nope");
  const method = await api.ask("/v1/apps/shop", { method: "PATCH" });
  const override = await api.ask("/v1/nodes", {
    method: "POST",
    headers: { "x-http-method-override": "GET" },
  });

  expect(unknown.status).toBe(404);
  expect(unknown.body.type).toBe("/problems/not-found");
  expect(unknown.headers.get("content-type")).toBe("application/problem+json");
  expect(unknown.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
  expect(method.status).toBe(405);
  expect(method.headers.get("allow")).toBe("PUT, GET, HEAD, DELETE");
  expect(override.status).toBe(405);
});

test("a POST that needs no field takes none, with a body that says so and without one", async () => {
  await using api = await startApi();
  await whatPathsName(api);
  const isEmptyTaken = ({ body }: Route) =>
    body === undefined || (body !== "bytes" && body.safeParse({}).success);
  const posts = forPeople.filter(
    (it) => it.method === "POST" && it.path.startsWith("/v1/") && isEmptyTaken(it),
  );
  expect(posts.map(named)).toEqual([
    "POST /v1/apps/:app/restart",
    "POST /v1/volumes/:volume/restore",
    "POST /v1/nodes/join-tokens",
    "POST /v1/nodes/:node/cordon",
    "POST /v1/nodes/:node/uncordon",
    "POST /v1/nodes/:node/drain",
    "POST /v1/nodes/:node/fence",
    "POST /v1/nodes/:node/adopt",
  ]);

  for (const route of posts) {
    const path = concrete(route).replace(":node", "local").replace(":volume", "data");
    const post = (sent: AskOptions) => api.ask(path, { method: "POST", ...sent });
    const answers = {
      nothing: await post({}),
      "no bytes": await post({ body: "", headers: { "content-type": "text/plain" } }),
      "no fields": await post({ json: {} }),
      "no fields, as YAML": await post({
        body: "{}",
        headers: { "content-type": "application/yaml" },
      }),
    };
    for (const [what, { status, text }] of Object.entries(answers)) {
      expect(status, `${what}: ${named(route)}: ${text}`).toBeLessThan(300);
    }
    const unknown = await post({ json: { nope: 1 } });
    expect(unknown.status, named(route)).toBe(422);
    expect(unknown.body.errors, named(route)).toMatchObject([{ pointer: "/nope" }]);
  }
});

/** What the paths name: an app, its volume, and a host that is not heard of. */
async function whatPathsName(api: TestApi): Promise<void> {
  await joinedNode(api.db, "local");
  await api.db.execute(sql`update node_status set seen_at = now() - interval '1 hour'`);
  await apply(api, [aPodDocument("shop", {}, claiming("data"))]);
}

/** The same id with another secret and a right checksum. */
function swapSecret(token: string): string {
  const other = makeToken("personal", (count) => crypto.getRandomValues(new Uint8Array(count)));
  return formatToken({ kind: "personal", id: token.slice(4, 14), secret: other.secret });
}
