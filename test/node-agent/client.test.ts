import { randomUUID } from "node:crypto";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { NodeId } from "../../contract/ids.ts";
import { openApiClient } from "../../node-agent/api/client.ts";
import { openSession } from "../../node-agent/disk/session.ts";
import { aReport } from "../support/declared.ts";
import { type NodeApi, type RawAnswer, startNodeApi } from "../support/node-api.ts";
import { aPod } from "../support/pods.ts";

let folder = "";
let api: NodeApi;
const NOTHING = { generation: 0, routing: 0 };
const forever = new AbortController().signal;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "waybill-test-client-"));
  api = await startNodeApi();
  await writeFile(join(folder, "join.token"), `${api.joinToken}\n`);
});
afterEach(async () => {
  await api[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

const session = randomUUID();
const thisNode = () => NodeId.parse(api.node);
const identityFile = () => join(folder, "node.json");
const open = (publicKey = new Uint8Array(32), more: { podRange?: string } = {}) =>
  openApiClient({
    publicKey,
    session,
    ...more,
    apiUrl: api.url,
    identityFile: identityFile(),
    joinTokenFile: join(folder, "join.token"),
    version: "test",
    waitMs: 200,
  });

test("a node joins once and keeps its token for itself", async () => {
  const first = await open();
  expect(await first.fetchDesired(undefined, forever)).toMatchObject({
    kind: "desired",
    state: { node: api.node, generation: 0, pods: [] },
  });
  expect((await stat(identityFile())).mode & 0o777).toBe(0o600);

  const second = await open();

  expect(second.identity()?.node).toBe(api.node);
  expect(await second.fetchDesired(NOTHING, forever)).toMatchObject({ kind: "desired" });
  expect(api.joins()).toBe(1);
});

test("an agent that starts is told the wish that it holds, since an earlier one was told less of it", async () => {
  await (await open()).fetchDesired(undefined, forever);

  const next = await open();

  expect(await next.fetchDesired(NOTHING, forever)).toMatchObject({ kind: "desired" });
  expect(await next.fetchDesired(NOTHING, forever)).toEqual({ kind: "unchanged" });
});

test("news ends the wait at once", async () => {
  const client = await open();
  await client.fetchDesired(undefined, forever);

  const heard = client.fetchDesired(NOTHING, forever);
  api.wish([aPod()]);

  expect(await heard).toMatchObject({ kind: "desired", state: { generation: 1 } });
});

test("a node whose token is refused joins again with whatever join token lies there then", async () => {
  const client = await open();
  await client.fetchDesired(undefined, forever);
  api.revoke();
  await writeFile(join(folder, "join.token"), "wrong");

  expect(await client.fetchDesired(NOTHING, forever)).toMatchObject({ kind: "nothing-new" });
  expect(await client.fetchDesired(NOTHING, forever)).toMatchObject({
    refused: "unknown",
    because: "the api answered 401; joining anew: the api answered 401 to the join token",
  });
  await writeFile(join(folder, "join.token"), api.joinToken);

  expect(await client.fetchDesired(undefined, forever)).toMatchObject({ kind: "desired" });
  expect(api.joins()).toBe(2);
  expect(await readFile(identityFile(), "utf8")).toContain(client.identity()?.token);
});

test("a refusal that passes leaves a node with the token that it has", async () => {
  const client = await open();
  await client.fetchDesired(undefined, forever);
  await writeFile(join(folder, "join.token"), "used up");
  api.answerWith({ status: 401, body: "{}" });
  expect(await client.fetchDesired(NOTHING, forever)).toMatchObject({ kind: "nothing-new" });
  expect(await client.fetchDesired(NOTHING, forever)).toMatchObject({ kind: "nothing-new" });

  api.answerWith(undefined);

  expect(await client.fetchDesired(NOTHING, forever)).toEqual({ kind: "unchanged" });
  expect(api.joins()).toBe(1);
});

test("a node with another key joins again, and is told everything anew, sealed for that key", async () => {
  await (await open()).fetchDesired(undefined, forever);
  const key = Uint8Array.from({ length: 32 }, () => 7);

  const client = await open(key);

  expect(await client.fetchDesired(NOTHING, forever)).toMatchObject({ kind: "desired" });
  expect(api.publicKey()).toBe(Buffer.from(key).toString("base64"));
  expect(await client.fetchDesired(NOTHING, forever)).toEqual({ kind: "unchanged" });
  expect(api.joins()).toBe(2);
});

test("a node with another key that cannot join goes on with the token that it has", async () => {
  await (await open()).fetchDesired(undefined, forever);
  await writeFile(join(folder, "join.token"), "used up");

  const client = await open(Uint8Array.from({ length: 32 }, () => 7));

  expect(await client.fetchDesired(NOTHING, forever)).toMatchObject({ kind: "desired" });
});

test("an agent says with every question which one it is, and that it stops", async () => {
  const client = await open();
  await client.fetchDesired(undefined, forever);
  expect(api.session()).toBe(session);
  expect(api.left()).toBeUndefined();

  await client.leave();

  expect(api.left()).toBe(session);
});

test("an agent whose node is another's asks for nothing but the wish, until the node is its own again", async () => {
  const client = await open();
  await client.fetchDesired(undefined, forever);
  const detail = "Another agent speaks for test.";

  api.answerWith({ status: 409, body: JSON.stringify({ detail }) });
  expect(await client.fetchDesired(NOTHING, forever)).toMatchObject({
    because: expect.stringContaining(detail),
    refused: "taken",
  });
  api.answerWith(undefined);
  expect(await client.putReport(thisNode(), aReport([]), forever)).toMatchObject({
    kind: "not-sent",
  });
  expect(api.reports).toEqual([]);

  expect(await client.fetchDesired(NOTHING, forever)).toEqual({ kind: "unchanged" });
  expect(await client.putReport(thisNode(), aReport([]), forever)).toEqual({ kind: "sent" });
});

test("a node that joined anew as another tells nothing of what it saw with that one's wish in hand", async () => {
  const client = await open();
  await client.fetchDesired(undefined, forever);
  const before = NodeId.parse(randomUUID());

  expect(await client.putReport(before, aReport([]), forever)).toMatchObject({ kind: "not-sent" });
  expect(api.reports).toEqual([]);
  expect(await client.putReport(thisNode(), aReport([]), forever)).toEqual({ kind: "sent" });
});

test("a node with pod addresses of its own tells them, and joins again where it has not", async () => {
  await (await open()).fetchDesired(undefined, forever);
  const podRange = "10.99.7.0/24";

  const client = await open(undefined, { podRange });
  await client.fetchDesired(NOTHING, forever);
  await client.fetchDesired(NOTHING, forever);

  expect(client.identity()?.podRange).toBe(podRange);
  expect(api.joins()).toBe(2);
});

test("a session lasts for a boot, whatever its file says", async () => {
  const file = join(folder, "run", "session.json");

  const first = await openSession(file, "boot-1");
  const again = await openSession(file, "boot-1");
  const rebooted = await openSession(file, "boot-2");
  await writeFile(file, "{");

  expect(again).toBe(first);
  expect(rebooted).not.toBe(first);
  expect(await openSession(file, "boot-2")).not.toBe(rebooted);
});

const whole = JSON.stringify({ node: randomUUID(), generation: 9, pods: [], routes: [] });
const answers: readonly [string, RawAnswer][] = [
  ["an error", { status: 500, body: "{}" }],
  ["a refusal", { status: 401, body: "{}" }],
  ["no such page", { status: 404, body: "{}" }],
  ["a login page", { status: 200, body: "<html>Sign in</html>" }],
  ["nothing at all", { status: 200, body: "" }],
  ["an empty object", { status: 200, body: "{}" }],
  ["null", { status: 200, body: "null" }],
  ["no content", { status: 204, body: "" }],
  ["half a document", { status: 200, body: whole, cutAt: 20 }],
  ["a redirect", { status: 302, body: "", headers: { location: "/elsewhere" } }],
  [
    "pods that are not pods",
    { status: 200, body: whole.replace('"pods":[]', '"pods":[{"kind":"Pod"}]') },
  ],
  ["a negative generation", { status: 200, body: whole.replace("9", "-9") }],
  ["more than it may", { status: 200, body: `${whole}${" ".repeat(50 * 1024 * 1024)}` }],
  ["a list", { status: 200, body: "[]" }],
  ["a bad gateway's page", { status: 502, body: "<html>502</html>" }],
  [
    "garbage that is said to be compressed",
    {
      status: 200,
      body: "\u001f\ufffd\b\u0000garbage",
      headers: { "content-encoding": "gzip" },
    },
  ],
];
test.each(answers)("an api that answers %s has said nothing new", async (_, answer) => {
  const client = await open();
  await client.fetchDesired(undefined, forever);

  api.answerWith(answer);

  expect(await client.fetchDesired(NOTHING, forever)).toMatchObject({ kind: "nothing-new" });
});

test("an answer that is wrong in a thousand places is told in few words", async () => {
  const client = await open();
  await client.fetchDesired(undefined, forever);
  const pods = Array.from({ length: 1_000 }, () => ({ kind: "Pod" }));

  api.answerWith({ status: 200, body: JSON.stringify({ ...JSON.parse(whole), pods }) });

  const heard = await client.fetchDesired(NOTHING, forever);
  if (heard.kind !== "nothing-new") throw new Error(`it was ${heard.kind}`);
  expect(heard.because).toContain("does not validate");
  expect(heard.because.length).toBeLessThanOrEqual(1_000);
});

test("an api that is away has said nothing new", async () => {
  const client = await openApiClient({
    publicKey: new Uint8Array(32),
    session,
    apiUrl: "http://127.0.0.1:1",
    identityFile: identityFile(),
    joinTokenFile: join(folder, "join.token"),
    version: "test",
  });

  expect(await client.fetchDesired(undefined, forever)).toMatchObject({ kind: "nothing-new" });
});
