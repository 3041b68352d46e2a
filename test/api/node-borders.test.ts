import { randomUUID } from "node:crypto";
import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { ROUTES } from "../../api/census.ts";
import { SESSION_HEADER } from "../../contract/node/host.ts";
import { PodStatus } from "../../contract/node/protocol.ts";
import { startApi, type TestApi } from "../support/api.ts";
import { aReport, declare } from "../support/declared.ts";
import { eventually } from "../support/eventually.ts";
import { joined } from "../support/joined.ts";
import { place } from "../support/place.ts";

/* What a node may not, and what ends when it is no more. */

/** The audit rows of denied requests, as "action object". */
const denied = async (api: TestApi) =>
  (
    await api.db.execute<{ it: string }>(
      sql`select action || ' ' || object as it from audit where result = 'denied' order by seq`,
    )
  ).map((row) => row.it);

const running = (pod: string) =>
  PodStatus.parse({
    ...{ pod, phase: "Running", ready: true, restarts: 0 },
    containers: [{ name: "web", state: "running", ready: true, restarts: 0 }],
  });

/** Two nodes; a pod of an app runs on the second one, and a command is under way in it. */
async function twoNodes() {
  const api = await startApi();
  const [own, other] = [await joined(api, "own"), await joined(api, "other")];
  await declare(api.db, "shop");
  const pod = await place(api, "shop", other);
  const ask = (path: string, json?: object, token = own.token) =>
    api.ask(`/v1/node/${path}`, { method: json ? "POST" : "GET", token, ...(json && { json }) });
  await ask("report", aReport([running(pod)], 1), other.token);
  const command = api.ask("/v1/apps/shop/exec", { method: "POST", json: { command: ["ls"] } });
  const work = await ask("execs", undefined, other.token);
  const exec = work.body.sessions[0].id as string;
  const end = async () => {
    const bye = { first: 0, frames: [], exit: { exitCode: 0 } };
    await ask(`execs/${exec}/output`, bye, other.token);
    await command;
    await api[Symbol.asyncDispose]();
  };
  return { api, ask, own, other, pod, exec, [Symbol.asyncDispose]: end };
}

test("no route of nodes takes an id but that of a command: what else there is, is the token's node's", () => {
  const paths = ROUTES.filter((it) => it.auth !== "open" && it.auth.includes("node"))
    .map((it) => it.path)
    .filter((it) => /[:*]/.test(it));

  // Of whose images may be read, see registry.test.ts.
  expect(new Set(paths)).toEqual(
    new Set(["/v1/node/execs/:id/input", "/v1/node/execs/:id/output", "/v2/*"]),
  );
});

test("a node that names another's command, or speaks of its pods, moves nothing and is on record, once in a while", async () => {
  await using world = await twoNodes();
  const { api, ask, pod, exec } = world;
  const line = { at: "2026-11-23T09:00:00.000000000Z", stream: "stdout", text: "forged" };
  const chunk = { pod, container: "web", attempt: 0, from: 0, to: 7, lines: [line] };
  const forged = { ...running(pod), phase: "Failed", ready: false };

  for (let time = 0; time < 2; time++) {
    expect((await ask(`execs/${exec}/input?waitMs=0`)).status).toBe(404);
    expect((await ask(`execs/${exec}/output`, { first: 0, frames: [] })).status).toBe(404);
    expect((await ask("logs", { chunks: [chunk] })).body).toEqual({ kept: [] });
    expect((await ask("report", aReport([PodStatus.parse(forged)]))).status).toBe(204);
  }
  const unknown = randomUUID();
  expect((await ask(`execs/${unknown}/input?waitMs=0`)).status).toBe(404);
  await ask("report", aReport([running(unknown)]));

  expect(await denied(api)).toEqual([
    `node.foreign-command exec:${exec}`,
    "node.foreign-pods node:own",
  ]);
  expect((await api.ask("/v1/apps/shop")).body.pods).toMatchObject([{ ready: true }]);
  expect((await api.ask("/v1/apps/shop/logs")).text).toBe("");
});

const ENDS = {
  fence: (api: TestApi) =>
    api.ask("/v1/nodes/own/fence", { method: "POST", json: { force: true } }),
  DELETE: (api: TestApi) => api.ask("/v1/nodes/own", { method: "DELETE" }),
  "join of another host": async (api: TestApi) => {
    // Not before all that waits was let in.
    return await eventually(async () => {
      await api.db.execute(sql`update node_sessions set seen_at = now() - interval '31 seconds'`);
      await joined(api, "own", new Uint8Array(32).fill(3));
      return { status: 200 };
    });
  },
};

test.each(Object.keys(ENDS) as (keyof typeof ENDS)[])(
  "after a %s the token of before ends at once, in all that waits as well",
  async (what) => {
    await using api = await startApi();
    const { token } = await joined(api, "own");
    const get = (path: string, more = {}) =>
      api.ask(path, { token, headers: { [SESSION_HEADER]: randomUUID(), ...more } });
    const session = { [SESSION_HEADER]: randomUUID() };
    const login = `Basic ${Buffer.from(`node:${token}`).toString("base64")}`;
    const images = () => api.ask("/v2/", { token: null, headers: { authorization: login } });
    const waiting = [
      get("/v1/node/desired?waitMs=25000", { ...session, "if-none-match": '"0"' }),
      get("/v1/node/execs?waitMs=25000", session),
    ];
    // Both have been let in, and wait.
    expect((await get("/v1/node/desired", session)).status).toBe(200);
    expect((await images()).status).toBe(200);

    const startedAtMs = performance.now();
    expect((await ENDS[what](api)).status).toBe(200);
    const answers = await Promise.all(waiting);

    expect(answers.map((it) => it.status)).toEqual([401, 401]);
    expect(performance.now() - startedAtMs).toBeLessThan(5_000);
    expect((await get("/v1/node/desired", session)).status).toBe(401);
    expect((await images()).status).toBe(401);
  },
);

test("a node that is shut out, or asks for what is another's, does not join, and that is on record once", async () => {
  await using api = await startApi();
  const podRange = "10.77.3.0/24";
  const join = async (name: string, key: number) => {
    const made = await api.ask("/v1/nodes/join-tokens", { method: "POST", json: { name } });
    const publicKey = Buffer.alloc(32, key).toString("base64");
    const json = { version: "1", publicKey, podRange };
    const attempt = () =>
      api.ask("/v1/node/join", { method: "POST", token: made.body.token, json });
    return [await attempt(), await attempt()].map((it) => it.status);
  };

  expect(await join("a", 1)).toEqual([201, 201]);
  expect(await join("b", 2)).toEqual([409, 409]);

  expect(await denied(api)).toEqual(["node.join /v1/node/join"]);
});

test("no node tells the address of the api, or one of a node's pods, for its own", async () => {
  await using api = await startApi();
  const [a, b] = [await joined(api, "a"), await joined(api, "b")];
  const tell = async (address: string) => {
    const json = { ...aReport([]), address };
    await api.ask("/v1/node/report", { method: "POST", token: b.token, json });
    return (await api.ask("/v1/nodes/b")).body;
  };
  const ofAPod = a.podRange.replace("0/24", "7");

  for (const address of [await api.deps.reachedAt({} as never), ofAPod])
    expect(await tell(address ?? "")).toMatchObject({ address: null, addressRefused: address });
  expect(await tell("192.0.2.2")).toMatchObject({ address: "192.0.2.2", addressRefused: null });
  Object.assign(api.deps, { reachedAt: () => "127.0.0.1" });
  expect(await tell("192.0.2.1")).toMatchObject({ address: "192.0.2.1", addressRefused: null });
  expect(await denied(api)).toEqual(["node.address node:b"].flatMap((it) => [it, it]));
});
