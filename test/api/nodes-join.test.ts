import { randomUUID } from "node:crypto";
import { networkInterfaces } from "node:os";
import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { outwardAddress } from "../../api/node/outward-address.ts";
import { NodeId } from "../../contract/ids.ts";
import { POD_RANGES, SESSION_HEADER } from "../../contract/node/host.ts";
import { JoinAnswer } from "../../contract/node/protocol.ts";
import { readDesired } from "../../db/nodes/desired.ts";
import { type AskOptions, startApi, type TestApi } from "../support/api.ts";
import { aReport } from "../support/declared.ts";
import { joined } from "../support/joined.ts";
import { aPodDocument, apply } from "../support/materials.ts";

const aKey = (byte: number) => Buffer.alloc(32, byte).toString("base64");

const newToken = (api: TestApi, json: object = {}, options: AskOptions = {}) =>
  api.ask("/v1/nodes/join-tokens", { method: "POST", json, ...options });

const join = (api: TestApi, token: string, key = 9, more: object = {}, session?: string) =>
  api.ask("/v1/node/join", {
    method: "POST",
    token,
    json: { version: "1", publicKey: aKey(key), ...more },
    ...(session !== undefined && { headers: { [SESSION_HEADER]: session } }),
  });

const report = (api: TestApi, token: string, session?: string, json: object = aReport([])) =>
  api.ask("/v1/node/report", {
    method: "POST",
    token,
    json,
    ...(session !== undefined && { headers: { [SESSION_HEADER]: session } }),
  });

const shown = async (api: TestApi, name: string) => (await api.ask(`/v1/nodes/${name}`)).body;

/** The first so many ranges are some nodes'. */
const giveAway = (api: TestApi, count: number) =>
  api.db.execute(sql`
    insert into nodes (name, pod_range)
    select 'n-' || i, format('10.%s.%s.0/24', 64 + i / 256, i % 256)
    from generate_series(0, ${count - 1}::int) as i on conflict do nothing`);

const audited = async (api: TestApi, action: string) =>
  await api.db.execute(sql`select object, result from audit where action = ${action} order by seq`);

test("a host joins with a token that is made for it, under the name and the labels that the token says", async () => {
  await using api = await startApi();

  const made = await newToken(api, { name: "web-1", labels: { disk: "fast" } });
  const answer = await join(api, made.body.token);
  await report(api, answer.body.token);

  expect(made.status).toBe(201);
  expect(made.headers.get("cache-control")).toBe("no-store");
  expect(made.body).toMatchObject({ node: "web-1" });
  expect(made.body.command).toBe(
    `npm run agent -- --api ${api.url} --join ${made.body.token as string}`,
  );
  expect(Date.parse(made.body.expiresAt) - Date.now()).toBeGreaterThan(14 * 60_000);
  expect(answer.status).toBe(201);
  expect(JoinAnswer.parse(answer.body).name).toBe("web-1");
  expect(await shown(api, "web-1")).toMatchObject({ status: "ready", labels: { disk: "fast" } });
});

test.each([
  ["127.0.0.1", "192.0.2.1", "192.0.2.1"],
  ["localhost", "2001:db8::7", "[2001:db8::7]"],
  ["127.0.0.1", "waybill.example.com", "waybill.example.com"],
])(
  "asked at %s the command names %s, where other hosts reach the api",
  async (at, outward, named) => {
    await using api = await startApi();
    Object.assign(api.deps, { outward: async () => outward });
    const { port } = new URL(api.url);

    const { body } = await newToken(api, {}, { headers: { host: `${at}:${port}` } });

    expect(body.command).toContain(` --api http://${named}:${port} --join ${body.token}`);
    expect(body.note).toBeNull();
  },
);

test("asked where other hosts reach it the api names that; where none does it says what to set", async () => {
  await using api = await startApi();
  const { port } = new URL(api.url);

  const reached = await newToken(api, {}, { headers: { host: "waybill.example.com" } });
  const alone = await newToken(api);

  expect(reached.body.command).toContain(" --api http://waybill.example.com --join ");
  expect(reached.body.note).toBeNull();
  expect(alone.body.command).toContain(` --api http://127.0.0.1:${port} --join `);
  expect(alone.body.note).toMatch(/^No other host reaches the api at http:.*WAYBILL_API_HOST/);
});

test("an api that listens everywhere is reached at its machine's address on the way out", async () => {
  const own = Object.values(networkInterfaces()).flatMap((them) => them ?? []);
  const ways = own.filter((it) => !it.internal).map((it) => it.address);

  expect([...ways, null]).toContain(await outwardAddress("0.0.0.0"));
  expect(await outwardAddress("192.0.2.1")).toBe("192.0.2.1");
  expect(await outwardAddress("waybill.example.com")).toBe("waybill.example.com");
  for (const here of ["127.0.0.1", "127.3.2.1", "::1", "localhost"])
    expect(await outwardAddress(here), here).toBeNull();
});

test("a token without a name makes one up, and each host gets pod addresses of its own", async () => {
  await using api = await startApi();

  const tokens = [await newToken(api), await newToken(api)];
  const answers = [];
  for (const { body } of tokens) answers.push((await join(api, body.token)).body);

  expect(new Set(answers.map((it) => it.name)).size).toBe(2);
  for (const { name } of answers) expect(name).toMatch(/^node-[0-9a-f]{4}$/);
  expect(new Set(answers.map((it) => it.podRange)).size).toBe(2);
  for (const { podRange } of answers)
    expect(podRange).toMatch(/^10\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.\d+\.0\/24$/);
});

test("a join token that was used brings no other host in, and the same one again: its answer may be lost", async () => {
  await using api = await startApi();
  const { token } = (await newToken(api)).body;

  const first = await join(api, token, 1);
  const other = await join(api, token, 2);
  const again = await join(api, token, 1);

  expect([first.status, other.status, again.status]).toEqual([201, 401, 201]);
  expect(again.body).toMatchObject({ node: first.body.node, podRange: first.body.podRange });
  expect((await report(api, first.body.token)).status).toBe(401);
  expect((await report(api, again.body.token)).status).toBe(204);
});

test("an expired join token, and one that a newer one of the same name replaced, bring nobody in", async () => {
  await using api = await startApi();
  const old = (await newToken(api, { name: "web-1" })).body;
  const expired = (await newToken(api, { name: "web-1", expiresIn: "1m" })).body;
  await api.db.execute(sql`
    update tokens set expires_at = now() - interval '1 second' where id = ${expired.token.slice(4, 14)}`);

  expect((await join(api, old.token)).status).toBe(401);
  expect((await join(api, expired.token)).status).toBe(401);
  expect((await api.ask("/v1/nodes")).body.nodes).toEqual([]);
});

test.each([
  [{ expiresIn: "2h" }, "/expiresIn"],
  [{ name: "Web 1" }, "/name"],
  [{ labels: { "a b": "c" } }, "/labels/a b"],
  [{ node: "web-1" }, "/node"],
])("a join token is not made for %j", async (json, pointer) => {
  await using api = await startApi();

  const answer = await newToken(api, json);

  expect(answer.status).toBe(422);
  expect(answer.body.errors[0].pointer).toBe(pointer);
});

test("the same request for a join token gets the same one, and no token is kept anywhere", async () => {
  await using api = await startApi();
  const headers = { "idempotency-key": randomUUID() };

  const first = await newToken(api, { name: "web-1" }, { headers });
  const again = await newToken(api, { name: "web-1" }, { headers });

  expect(again.text).toBe(first.text);
  expect(again.headers.get("idempotency-replayed")).toBe("true");
  const secret = first.body.token.slice(14, 46);
  const [kept] = await api.db.execute(sql`select
    (select string_agg(i::text, ' ') from idempotency_keys i) as answers,
    (select string_agg(t::text, ' ') from tokens t) as tokens`);
  expect(JSON.stringify(kept)).not.toContain(secret);
});

test("no token is made for the name of a node that answers", async () => {
  await using api = await startApi();
  const { token } = await joined(api, "web-1");
  await report(api, token);

  expect((await newToken(api, { name: "web-1" })).body.type).toBe("/problems/node-taken");
  await api.db.execute(sql`update node_status set seen_at = now() - interval '50 seconds'`);
  expect((await newToken(api, { name: "web-1" })).status).toBe(201);
});

test("a host cannot say what its labels are, neither when it joins nor when it reports", async () => {
  await using api = await startApi();
  const { token } = (await newToken(api, { name: "web-1", labels: { zone: "a" } })).body;

  const joining = await join(api, token, 1, { labels: { zone: "b" } });
  await report(api, joining.body.token, undefined, { ...aReport([]), labels: { zone: "b" } });

  expect((await shown(api, "web-1")).labels).toEqual({ zone: "a" });
});

test("joining again without labels keeps them", async () => {
  await using api = await startApi();
  await join(api, (await newToken(api, { name: "web-1", labels: { zone: "a" } })).body.token);

  await join(api, (await newToken(api, { name: "web-1" })).body.token);

  expect((await shown(api, "web-1")).labels).toEqual({ zone: "a" });
});

test("a node that joins again with other labels is told its routes anew, and so are the others", async () => {
  await using api = await startApi();
  const { node } = await joined(api, "other");
  const labels = { "waybill/ingress": "false" };
  const tell = async (json: object) =>
    await join(api, (await newToken(api, { name: "web-1", ...json })).body.token);
  const routing = async () =>
    (await readDesired(api.db, [NodeId.parse(node)], "localhost"))[0]?.desired.routing ?? 0;
  await tell({ labels });
  const before = await routing();

  await tell({});
  expect(await routing()).toBe(before);
  await tell({ labels: {} });
  expect(await routing()).toBeGreaterThan(before);
});

test("a host keeps the pod addresses that it has, and nobody else gets them", async () => {
  await using api = await startApi();
  const podRange = "10.77.3.0/24";
  const make = async (name: string) => (await newToken(api, { name })).body.token as string;

  const first = await join(api, await make("a"), 1, { podRange });
  const second = await join(api, await make("b"), 2, { podRange });
  const again = await join(api, await make("a"), 1);

  expect(first.body.podRange).toBe(podRange);
  expect(second.body.type).toBe("/problems/pod-range-taken");
  expect(second.body.detail).toContain("a has the pod addresses 10.77.3.0/24");
  expect(again.body.podRange).toBe(podRange);
});

test("a second agent with a node's token is refused and on record, until the first is silent or gone", async () => {
  await using api = await startApi();
  const { token } = await joined(api, "web-1");
  const [one, two] = [randomUUID(), randomUUID()];

  expect((await report(api, token, one)).status).toBe(204);
  const refused = await report(api, token, two);
  await report(api, token, two);
  expect(refused.status).toBe(409);
  expect(refused.body.type).toBe("/problems/node-taken");
  for (const path of ["/v1/node/desired?waitMs=0", "/v1/node/execs?waitMs=0"]) {
    const asked = await api.ask(path, { token, headers: { [SESSION_HEADER]: two } });
    expect(asked.status).toBe(409);
  }
  await api.db.execute(sql`update node_sessions set seen_at = now() - interval '10 seconds'`);
  expect((await report(api, token, one)).status).toBe(204);
  expect((await report(api, token, two)).status).toBe(409);
  expect(await audited(api, "node.session")).toEqual([{ object: "node:web-1", result: "denied" }]);

  await api.db.execute(sql`update node_sessions set seen_at = now() - interval '31 seconds'`);
  expect((await report(api, token, two)).status).toBe(204);
  expect((await report(api, token, one)).status).toBe(409);
  expect((await report(api, token)).status).toBe(409);

  const left = await api.ask("/v1/node/session", {
    method: "DELETE",
    token,
    headers: { [SESSION_HEADER]: two },
  });
  expect(left.status).toBe(204);
  expect((await report(api, token, one)).status).toBe(204);
});

test("no other host joins as a node whose agent is heard of, and the attempt leaves the node as it was", async () => {
  await using api = await startApi();
  const make = async () => (await newToken(api, { name: "web-1" })).body.token as string;
  const node = (await join(api, await make(), 1, {}, randomUUID())).body;

  const other = await join(api, await make(), 2, {}, randomUUID());

  expect(other.body.type).toBe("/problems/node-taken");
  expect(await audited(api, "node.session")).toHaveLength(1);
  const [key] = await api.db.execute(sql`select encode(public_key, 'base64') as key from nodes`);
  expect(key).toEqual({ key: aKey(1) });
  expect(
    (await api.db.execute(sql`select 1 from tokens where kind = 'node' and revoked_at is null`))
      .length,
  ).toBe(1);
  expect(node.name).toBe("web-1");
});

test("a session that is no UUID is refused", async () => {
  await using api = await startApi();
  const { token } = await joined(api);

  expect((await report(api, token, "me")).status).toBe(400);
});

test("a node's token reads nothing of people's, and nothing of another node's", async () => {
  await using api = await startApi();
  const [a, b] = [await joined(api, "a"), await joined(api, "b")];

  for (const path of ["/v1/nodes", "/v1/nodes/b", "/v1/apps", "/v1/volumes"])
    expect((await api.ask(path, { token: a.token })).status, path).toBe(403);
  const work = await api.ask(`/v1/node/desired?waitMs=0&node=${b.node}`, { token: a.token });
  const own = await api.ask("/v1/node/desired", { token: a.token });

  expect(work.status).toBe(422);
  expect(own.body.node).toBe(a.node);
});

test("a node's address is kept, and no other node's or one that nobody reaches is taken", async () => {
  await using api = await startApi();
  const [a, b] = [await joined(api, "a"), await joined(api, "b")];
  const tell = (token: string, address: string) =>
    report(api, token, undefined, { ...aReport([]), address });

  await tell(a.token, "192.0.2.7");
  expect((await tell(b.token, "192.0.2.7")).status).toBe(204);
  await tell(b.token, "192.0.2.7");
  expect(await shown(api, "a")).toMatchObject({ address: "192.0.2.7", addressRefused: null });
  expect(await shown(api, "b")).toMatchObject({ address: null, addressRefused: "192.0.2.7" });
  expect(await audited(api, "node.address")).toEqual([{ object: "node:b", result: "denied" }]);

  for (const address of ["127.0.0.1", "169.254.169.254", "::1", "a.example", "0.0.0.0"]) {
    await tell(b.token, address);
    expect(await shown(api, "b")).toMatchObject({ address: null, addressRefused: address });
  }
  await tell(a.token, "192.0.2.8");
  await tell(b.token, "192.0.2.7");
  expect(await shown(api, "b")).toMatchObject({ address: "192.0.2.7", addressRefused: null });
});

test("where a host was that is off, another may be reached, and it again once it has joined anew", async () => {
  await using api = await startApi();
  const [a, b] = [await joined(api, "a"), await joined(api, "b")];
  const tell = (token: string, address: string) =>
    report(api, token, undefined, { ...aReport([]), address });
  await tell(a.token, "192.0.2.7");

  await api.ask("/v1/nodes/a/fence", { method: "POST", json: { force: true } });
  await tell(b.token, "192.0.2.7");
  expect(await shown(api, "a")).toMatchObject({ address: null, addressRefused: null });
  expect(await shown(api, "b")).toMatchObject({ address: "192.0.2.7", addressRefused: null });

  const back = await joined(api, "a");
  await tell(back.token, "192.0.2.8");
  expect(await shown(api, "a")).toMatchObject({ address: "192.0.2.8", addressRefused: null });
});

test("a node offers no more than its token lets it, whatever it reports; what the token does not name has no bound", async () => {
  await using api = await startApi();
  const capacity = { cpu: "2", memory: "1G" };
  const made = await newToken(api, { name: "web-1", capacity });
  const { token } = (await join(api, made.body.token)).body;
  const huge = { cpuMillis: 8_000_000, memoryBytes: 16 * 1024 ** 4, pods: 100 };

  await report(api, token, undefined, { ...aReport([]), capacity: huge });
  const shop = aPodDocument("shop", {
    resources: { requests: { cpu: "1", memory: "2G" }, limits: { memory: "2G" } },
  });
  const { plan } = (await apply(api, [shop], { query: "?dryRun=true" })).body.applied[0];

  const offered = { cpuMillis: 2_000, memoryBytes: 1e9, pods: 100 };
  expect(await shown(api, "web-1")).toMatchObject({
    capacity: offered,
    free: offered,
    most: capacity,
  });
  expect(plan.waiting[0].nodes).toEqual(["web-1: short by 1G memory"]);

  await join(api, (await newToken(api, { name: "web-1" })).body.token);
  expect((await shown(api, "web-1")).most).toEqual(capacity);
  await api.db.execute(sql`update node_status set seen_at = now() - interval '50 seconds'`);
  await join(api, (await newToken(api, { name: "web-1", capacity: {} })).body.token);
  expect(await shown(api, "web-1")).toMatchObject({ capacity: huge, most: {} });
});

test("of hosts that join with one token at the same instant one gets in, and of the same host's repetitions all do", async () => {
  await using api = await startApi();
  const make = async () => (await newToken(api)).body.token as string;
  const session = randomUUID();

  const [shared, own] = [await make(), await make()];
  const hosts = await Promise.all(
    [1, 2, 3, 4].map((key) => join(api, shared, key, {}, randomUUID())),
  );
  const again = await Promise.all([1, 2, 3].map(() => join(api, own, 5, {}, session)));

  expect(hosts.map((it) => it.status).toSorted()).toEqual([201, 401, 401, 401]);
  expect(again.map((it) => it.status)).toEqual([201, 201, 201]);
  expect(new Set(again.map((it) => it.body.podRange)).size).toBe(1);
  const tokens = again.map((it) => it.body.token as string);
  const reports = await Promise.all(tokens.map((token) => report(api, token, session)));
  expect(reports.map((it) => it.status).toSorted()).toEqual([204, 401, 401]);
});

test("hosts that join at the same instant with tokens of their own get ranges of their own", async () => {
  await using api = await startApi();
  const tokens = [];
  for (let host = 0; host < 8; host++) tokens.push((await newToken(api)).body.token as string);

  const answers = await Promise.all(tokens.map((token, host) => join(api, token, host + 1)));

  expect(answers.map((it) => it.status)).toEqual(Array(8).fill(201));
  expect(new Set(answers.map((it) => it.body.podRange)).size).toBe(8);
});

test("no host's pods get addresses where a host is reached", async () => {
  await using api = await startApi();
  const a = (await join(api, (await newToken(api, { name: "a" })).body.token, 1)).body;
  await report(api, a.token, undefined, { ...aReport([]), address: "10.77.3.9" });
  const make = async (name: string) => (await newToken(api, { name })).body.token as string;

  const asked = await join(api, await make("b"), 2, { podRange: "10.77.3.0/24" });
  // But for the two in which hosts are, all ranges are given away.
  Object.assign(api.deps, { addressOf: () => "::ffff:10.64.0.7" });
  await giveAway(api, POD_RANGES);
  await api.db.execute(sql`delete from nodes where pod_range in ('10.77.3.0/24', '10.64.0.0/24')`);
  const given = await join(api, await make("c"), 3);

  expect(asked.status).toBe(409);
  expect(asked.body.detail).toContain("a is reached in 10.77.3.0/24");
  expect(given.body.type).toBe("/problems/pod-range-taken");
});

test("there are addresses for the pods of thousands of nodes; when all are given away a host is told", async () => {
  await using api = await startApi();

  await giveAway(api, POD_RANGES - 1);
  const last = await join(api, (await newToken(api)).body.token, 1);
  const none = await join(api, (await newToken(api)).body.token, 2);

  expect(POD_RANGES).toBeGreaterThan(3 * 5_000);
  expect(last.body.podRange).toBe("10.127.255.0/24");
  expect(none.body.type).toBe("/problems/pod-range-taken");
  expect(none.body.detail).toContain("remove the nodes that are no more");
});
