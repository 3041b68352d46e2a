import { randomUUID } from "node:crypto";
import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { PodId } from "../../contract/ids.ts";
import { Pod } from "../../contract/pod/pod.ts";
import { forgetOldLogs } from "../../db/streams/logs.ts";
import { aToken, startApi, type TestApi } from "../support/api.ts";
import { aDigest, declare, joinedNode } from "../support/declared.ts";
import { eventually } from "../support/eventually.ts";
import { storePod } from "../support/pod-rows.ts";

/** A pod of a new release of the app, on the node of this name. */
async function placed(api: TestApi, node = "local", app = "shop"): Promise<PodId> {
  const [known] = await api.db.execute<{ id: never }>(
    sql`select id from nodes where name = ${node}`,
  );
  const nodeId = known?.id ?? (await joinedNode(api.db, node));
  const declared = await declare(api.db, app, aDigest("a"));
  const id = PodId.parse(randomUUID());
  const spec = Pod.parse({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: `${app}-1-${id.slice(0, 4)}`, uid: id },
    spec: {
      containers: [
        {
          name: "app",
          image: `waybill.internal/apps/default/${app}@${aDigest("c")}`,
          resources: { requests: { cpu: "1", memory: "1Gi" }, limits: { memory: "1Gi" } },
        },
      ],
    },
  });
  await storePod(api.db, { ...declared, node: nodeId, spec });
  return id;
}

const nodeToken = (api: TestApi, node = "local") =>
  aToken(api.db, { kind: "node", project: api.project, node });

const at = (second: number) => `2026-11-23T09:00:${String(second).padStart(2, "0")}.000000000Z`;

/** A chunk of one line a second, from `first` on. */
function aChunk(pod: PodId, texts: readonly string[], said: object = {}, first = 0) {
  const lines = texts.map((text, nr) => ({ at: at(first + nr), stream: "stdout", text }));
  return { pod, container: "app", attempt: 0, from: 0, to: 100, lines, ...said };
}

const post = (api: TestApi, token: string, ...chunks: readonly object[]) =>
  api.ask("/v1/node/logs", { method: "POST", token, json: { chunks } });

const read = async (api: TestApi, query = "") =>
  (await api.ask(`/v1/apps/shop/logs${query}`)).text.split("\n").slice(0, -1);

test("what a container said can be read, and is stored once however often it comes", async () => {
  await using api = await startApi();
  const pod = await placed(api);
  const token = await nodeToken(api);
  const chunk = aChunk(pod, ["one", "two"]);

  const first = await post(api, token, chunk);
  const again = await post(api, token, chunk);
  const more = await post(api, token, aChunk(pod, ["x"], { from: 50, to: 150 }));
  const next = await post(api, token, aChunk(pod, ["three"], { from: 100, to: 130 }, 2));

  const kept = (to: number) => ({ kept: [{ pod, container: "app", attempt: 0, to }] });
  expect([first.body, again.body, more.body, next.body]).toEqual([
    kept(100),
    kept(100),
    kept(100),
    kept(130),
  ]);
  expect(await read(api)).toEqual(["one", "two", "three"]);
});

test("an empty chunk asks how far a log is kept, and leaves nothing behind", async () => {
  await using api = await startApi();
  const pod = await placed(api);
  const token = await nodeToken(api);
  await post(api, token, aChunk(pod, ["one"]));

  const asked = await post(
    api,
    token,
    aChunk(pod, [], { to: 0 }),
    aChunk(pod, [], { to: 0, attempt: 1 }),
  );

  expect(asked.body.kept.map((it: { to: number }) => it.to)).toEqual([100, 0]);
  expect(await api.db.execute(sql`select 1 from log_chunks`)).toHaveLength(1);
});

test("a node speaks for its own pods only", async () => {
  await using api = await startApi();
  const pod = await placed(api, "theirs");
  await joinedNode(api.db, "local");

  const answer = await post(api, await nodeToken(api), aChunk(pod, ["forged"]));

  expect(answer.body).toEqual({ kept: [] });
  expect(await read(api)).toEqual([]);
});

test("lines of many pods come in the order of time, each with its name", async () => {
  await using api = await startApi();
  const [a, b] = [await placed(api), await placed(api)];
  const token = await nodeToken(api);
  await post(api, token, aChunk(b, ["b1", "b2", "b3"], {}, 1));
  await post(api, token, aChunk(a, ["a0", "a1", "a2"]));
  await post(api, token, aChunk(a, ["a9"], { from: 100, to: 120 }, 9));

  const lines = await read(api);

  const name = (pod: PodId) => `shop-1-${pod.slice(0, 4)}/app`;
  const said = lines.map((it) => it.split(" ")[1] ?? "");
  const sameTime = [said.slice(1, 3).sort(), said.slice(3, 5).sort()];
  expect(said[0]).toBe("a0");
  expect(sameTime).toEqual([
    ["a1", "b1"],
    ["a2", "b2"],
  ]);
  expect(said.slice(5)).toEqual(["b3", "a9"]);
  expect(lines[0]).toBe(`${name(a)} a0`);
});

test("tail counts lines over all pods, from the end", async () => {
  await using api = await startApi();
  const [a, b] = [await placed(api), await placed(api)];
  const token = await nodeToken(api);
  for (let nr = 0; nr < 30; nr++) {
    const [from, to] = [nr * 10, nr * 10 + 10];
    await post(
      api,
      token,
      aChunk(a, [`a${nr}`], { from, to }, nr),
      aChunk(b, [`b${nr}`], { from, to }, nr),
    );
  }

  const last = async (query: string) => (await read(api, query)).map((it) => it.split(" ")[1]);
  expect(await last("?tail=0")).toEqual([]);
  expect((await last("?tail=2")).sort()).toEqual(["a29", "b29"]);
  expect(await last("?tail=3")).toHaveLength(3);
  expect((await last("?tail=4")).sort()).toEqual(["a28", "a29", "b28", "b29"]);
  expect(await last("?tail=all")).toHaveLength(60);
  expect(await last(`?tail=all&pod=shop-1-${a.slice(0, 4)}`)).toHaveLength(30);
  expect(await last(`?since=${at(20).replace(".000000000", "")}`)).toHaveLength(20);
  expect(await last("?since=10s")).toHaveLength(0);
});

test("the instance before the newest is what previous shows", async () => {
  await using api = await startApi();
  const pod = await placed(api);
  const token = await nodeToken(api);
  for (const attempt of [0, 1, 2]) {
    await post(api, token, aChunk(pod, [`start ${attempt}`], { attempt }, attempt));
  }

  expect(await read(api, "?previous=true")).toEqual(["start 1"]);
  expect(await read(api)).toEqual(["start 0", "start 1", "start 2"]);
  expect((await api.ask("/v1/apps/shop/logs?previous=true&follow=true")).status).toBe(422);
});

test("programs get every line whole, and people nothing that moves their terminal", async () => {
  await using api = await startApi();
  const pod = await placed(api);
  const text = 'a\u001b[31mb\r\u0007\u202e{"x":1}\tc';
  await post(api, await nodeToken(api), aChunk(pod, [text]));

  const program = await api.ask("/v1/apps/shop/logs", {
    headers: { accept: "application/x-ndjson" },
  });
  const [line] = await read(api, "?timestamps=true");

  expect(program.headers.get("content-type")).toBe("application/x-ndjson");
  expect(JSON.parse(program.text)).toEqual({
    at: at(0),
    pod: `shop-1-${pod.slice(0, 4)}`,
    container: "app",
    attempt: 0,
    release: 1,
    stream: "stdout",
    text,
  });
  expect(line).toBe(`${at(0)} a\\x1b[31mb\\x0d\\x07\\u202e{"x":1}\tc`);
});

test("who follows gets the past and then what comes, until the api stops", async () => {
  await using api = await startApi();
  const pod = await placed(api);
  const token = await nodeToken(api);
  await post(api, token, aChunk(pod, ["old", "past"]));
  const headers = { authorization: `Bearer ${api.token}` };
  const answer = await fetch(`${api.url}/v1/apps/shop/logs?follow=true&tail=1`, { headers });
  let text = "";
  const reading = (async () => {
    const decoder = new TextDecoder();
    for await (const part of answer.body ?? []) text += decoder.decode(part);
  })();
  await eventually(() => expect(text).toBe("past\n"));

  const startedAtMs = Date.now();
  await post(api, token, aChunk(pod, ["new"], { from: 100, to: 110 }, 5));
  await eventually(() => expect(text).toBe("past\nnew\n"), { everyMs: 5 });
  const tookMs = Date.now() - startedAtMs;
  api.stop();
  await reading;

  expect(tookMs).toBeLessThan(500);
});

test("following ends with the app, and with the token", async () => {
  await using api = await startApi();
  await placed(api);
  const guest = await aToken(api.db, { kind: "personal", project: api.project });
  const open = (token: string) =>
    fetch(`${api.url}/v1/apps/shop/logs?follow=true`, {
      headers: { authorization: `Bearer ${token}` },
    });
  const [revoked, removed] = await Promise.all([open(guest), open(api.token)]);

  await api.db.execute(sql`update tokens set revoked_at = now() where id = ${guest.slice(4, 14)}`);
  expect(await revoked.text()).toBe("");
  await api.db.execute(sql`update pods set wanted = 'gone'`);
  await api.ask("/v1/apps/shop", { method: "DELETE" });

  expect(await removed.text()).toBe("");
}, 15_000);

test("old words go, and those of an app that says too much, but not the place where they end", async () => {
  await using api = await startApi();
  const pod = await placed(api);
  const token = await nodeToken(api);
  for (let nr = 0; nr < 10; nr++) {
    const place = { from: nr * 10, to: nr * 10 + 10 };
    await post(api, token, aChunk(pod, ["x".repeat(1_000)], place, nr));
  }

  await forgetOldLogs(api.db, { bytesPerApp: 5_000, days: 7 });
  const left = (await read(api, "?tail=all")).length;
  await api.db.execute(sql`update log_chunks set stored_at = now() - interval '8 days'`);
  await api.db.execute(
    sql`insert into pod_status (pod_id, node_id, status) select id, node_id, '{}'::jsonb from pods`,
  );
  await forgetOldLogs(api.db);

  expect(left).toBe(3);
  expect(await read(api, "?tail=all")).toEqual([]);
  const asked = await post(api, token, aChunk(pod, [], { to: 0 }));
  expect(asked.body.kept[0].to).toBe(100);
  await api.db.execute(sql`delete from pod_status`);
  await forgetOldLogs(api.db);
  expect(await api.db.execute(sql`select 1 from log_chunks`)).toHaveLength(0);
});

test("a look into logs is on record, and garbage is named", async () => {
  await using api = await startApi();
  await placed(api);
  await read(api);

  const bad = await api.ask("/v1/apps/shop/logs?tail=-1&since=yesterday&color=red");
  const badSince = await api.ask("/v1/apps/shop/logs?since=yesterday");

  expect(bad.status).toBe(422);
  expect(bad.body.errors.map((it: { pointer: string }) => it.pointer).sort()).toEqual([
    "/color",
    "/tail",
  ]);
  expect(badSince.body.errors[0].pointer).toBe("/since");
  for (const since of [
    "0000-01-01T00:00:00Z",
    "1969-12-31T23:59:59Z",
    "9999-12-31T23:59:59-01:00",
  ]) {
    expect((await api.ask(`/v1/apps/shop/logs?since=${since}`)).status).toBe(422);
  }
  expect((await api.ask("/v1/apps/nope/logs")).status).toBe(404);
  const [row] = await api.db.execute(sql`select action, object, result from audit`);
  expect(row).toEqual({ action: "app.logs", object: "app:shop", result: "done" });
});
