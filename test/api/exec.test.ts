import { once } from "node:events";
import { get } from "node:http";
import { sql } from "drizzle-orm";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { beginSession } from "../../api/exec/session.ts";
import { serveTerminal } from "../../api/exec/terminal.ts";
import { httpApi } from "../../api/http/app.ts";
import type { Wire } from "../../api/http/wire.ts";
import type { AppId } from "../../contract/ids.ts";
import { EXEC_CHANNEL, type ExecSession } from "../../contract/node/exec.ts";
import { PodStatus } from "../../contract/node/protocol.ts";
import { leaveExec, podsForExec } from "../../db/streams/execs.ts";
import { startApi, type TestApi } from "../support/api.ts";
import { aReport, declare } from "../support/declared.ts";
import { eventually } from "../support/eventually.ts";
import { joined } from "../support/joined.ts";
import { place } from "../support/place.ts";
import { openTerminal } from "../support/terminal.ts";

/* What the api does between a person and an agent; test/node-agent/exec.test.ts runs real commands. */

let api: TestApi;
let token: string;
beforeAll(async () => {
  api = await startApi();
  const node = await joined(api);
  token = node.token;
  await declare(api.db, "shop");
  const pod = await place(api, "shop", node);
  const status = PodStatus.parse({
    pod,
    phase: "Running",
    ready: true,
    restarts: 0,
    containers: [{ name: "web", state: "running", ready: true, restarts: 0 }],
  });
  await api.ask("/v1/node/report", { method: "POST", token, json: aReport([status], 1) });
});
afterEach(() => api.db.execute(sql`delete from exec_sessions`));
afterAll(() => api[Symbol.asyncDispose]());

const exec = (command: readonly string[]) =>
  api.ask("/v1/apps/shop/exec", { method: "POST", json: { command } });

/** What an agent does: takes the next command up. */
async function takeUp(): Promise<ExecSession> {
  const { body } = await api.ask("/v1/node/execs", { token });
  return body.sessions[0];
}

const output = ({ id }: ExecSession, json: object) =>
  api.ask(`/v1/node/execs/${id}/output`, { method: "POST", token, json });

const said = (text: string) =>
  Buffer.concat([Buffer.of(EXEC_CHANNEL.stdout), Buffer.from(text)]).toString("base64");

const terminal = () => openTerminal(`${api.url}/v1/apps/shop/exec?command=sh`, api.token);

const framesLeft = async () => (await api.db.execute(sql`select seq from exec_frames`)).length;

test("output that an agent sends again is shown once, also when the first was taken long ago", async () => {
  const answer = exec(["date"]);
  const session = await takeUp();
  await output(session, { first: 1, frames: [said("once ")] });
  await eventually(async () => expect(await framesLeft()).toBe(0));

  await output(session, { first: 1, frames: [said("once "), said("and more")] });
  await output(session, { first: 3, frames: [], exit: { exitCode: 0 } });

  expect((await answer).body).toEqual({ stdout: "once and more", stderr: "", exitCode: 0 });
});

test("a terminal whose input cannot be kept ends and says so, and the api goes on", async () => {
  await api.db.execute(sql`alter table exec_frames add constraint mute check (direction = 'out')`);
  using open = await terminal();
  await takeUp();

  open.send(EXEC_CHANNEL.stdin, "ls\n");
  const code = await open.closed;
  await api.db.execute(sql`alter table exec_frames drop constraint mute`);

  expect(code).toBe(1011);
  expect(JSON.parse(open.said(EXEC_CHANNEL.error))).toMatchObject({ status: "Failure" });
  expect((await api.ask("/healthz")).status).toBe(200);
});

/** A session that is open, without the person's connection. */
async function begin(): Promise<string> {
  const [app] = await api.db.execute<{ id: AppId }>(sql`select id from apps`);
  if (!app) throw new Error("no app");
  const [candidate] = await podsForExec(api.db, app.id);
  if (!candidate) throw new Error("no pod");
  const target = { candidate, container: "web" };
  const wish = { command: ["sh"], tty: true, stdin: true, timeoutSeconds: 60 };
  return await api.db.transaction((tx) => beginSession(tx, { app: app.id, target, wish }));
}

/** A person's connection on which nothing comes in, and which takes what `send` takes. */
function aWire(send: Wire["send"]) {
  const closed = new AbortController();
  const close = () => closed.abort();
  const incoming = (async function* () {
    await new Promise((resolve) => closed.signal.addEventListener("abort", resolve));
    yield* [];
  })();
  return { incoming, send, close, closed: closed.signal };
}

const mayGoOn = async () => true;

test("who takes output slowly is there all the same", async () => {
  const slow = Promise.withResolvers<void>();
  const wire = aWire(() => slow.promise);
  const served = serveTerminal(api.deps, wire, { begin, mayGoOn });
  const session = await takeUp();
  await output(session, { first: 1, frames: [said("much")] });
  await eventually(async () => expect(await framesLeft()).toBe(0));

  await api.db.execute(sql`update exec_sessions set person_seen_at = now() - interval '1 minute'`);
  await eventually(async () => {
    const [row] = await api.db.execute(
      sql`select person_seen_at > now() - interval '10 seconds' as there from exec_sessions`,
    );
    expect(row).toEqual({ there: true });
  });

  const answer = await output(session, { first: 2, frames: [], exit: { exitCode: 0 } });
  slow.resolve();
  await served;
  expect(answer.status).toBe(204);
});

test("who takes no output is cut off as well, once the token does not allow it any more", async () => {
  let allowed = true;
  const wire = aWire(() => new Promise(() => undefined));
  const served = serveTerminal(api.deps, wire, { begin, mayGoOn: async () => allowed });
  const session = await takeUp();
  await output(session, { first: 1, frames: [said("much")] });
  await eventually(async () => expect(await framesLeft()).toBe(0));

  allowed = false;
  await served;

  expect(wire.closed.aborted).toBe(true);
  expect((await output(session, { first: 2, frames: [said("more")] })).status).toBe(410);
});

test("a terminal in which nothing happens for long ends, and says why", async () => {
  const sent: string[] = [];
  const wire = aWire(async (frame) => void sent.push(Buffer.from(frame.subarray(1)).toString()));

  await serveTerminal(api.deps, wire, { begin, mayGoOn, idleMs: 1 });

  expect(sent).toHaveLength(1);
  expect(sent[0]).toContain("nothing was typed or shown for 30 minutes");
});

test("sixteen commands of an app are open at once; one more is refused until one ends", async () => {
  const ids: string[] = [];
  for (let nr = 0; nr < 16; nr++) ids.push(await begin());

  const answer = await exec(["date"]);
  const refused = terminal();

  await expect(refused).rejects.toThrow("429");
  expect(answer.status).toBe(429);
  expect(answer.body.type).toBe("/problems/exec-too-many");

  await leaveExec(api.db, ids[0] ?? "");
  ids.push(await begin());
  await expect(begin()).rejects.toThrow("16 commands");
});

test("a command is not handed to an agent that has hung up", async () => {
  const id = await begin();
  const gone = new Request("http://api/v1/node/execs?waitMs=0", {
    headers: { authorization: `Bearer ${token}` },
    signal: AbortSignal.abort(),
  });

  await httpApi(api.deps).fetch(gone);

  expect((await takeUp()).id).toBe(id);
});

test.each([
  ["/v1/apps/shop/logs?tail=0", 200],
  ["/v1/apps/shop", 200],
  ["/v1/apps/shop/exec?command=", 422],
])("%s with Upgrade: websocket is answered as any request is", async (path, status) => {
  const refused = openTerminal(api.url + path, api.token);

  await expect(refused).rejects.toThrow(`Unexpected server response: ${status}`);
});

test("an endless answer to a request with Upgrade comes as it is made", async () => {
  const { port } = new URL(api.url);
  const request = get({
    port,
    path: "/v1/apps/shop/logs?follow=true",
    headers: {
      authorization: `Bearer ${api.token}`,
      connection: "upgrade",
      upgrade: "websocket",
    },
  });
  const [answer] = await once(request, "response");
  request.destroy();

  expect(answer.statusCode).toBe(200);
});
