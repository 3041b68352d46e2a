import { randomUUID } from "node:crypto";
import { eq, sql } from "drizzle-orm";
import { expect, test } from "vitest";
import type { Changes } from "../../api/http/changes.ts";
import type { AppId, NodeId } from "../../contract/ids.ts";
import { PodId } from "../../contract/ids.ts";
import { DesiredState, PodStatus } from "../../contract/node/protocol.ts";
import { Pod } from "../../contract/pod/pod.ts";
import { renewRoutesTo } from "../../db/nodes/routes.ts";
import { announce } from "../../db/outbox.ts";
import { nodePlans, pods, releases } from "../../db/schema/core.ts";
import { startApi, type TestApi } from "../support/api.ts";
import { aDigest, aReport, declare, wishedUpTo } from "../support/declared.ts";
import { eventually } from "../support/eventually.ts";
import { joined } from "../support/joined.ts";
import { storePod } from "../support/pod-rows.ts";

/** A pod of a new release of the app, as the scheduler would place it. */
async function placed(api: TestApi, node: NodeId, app = "shop") {
  const release = await declare(api.db, app, aDigest("a"));
  const id = PodId.parse(randomUUID());
  const spec = Pod.parse({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: `${app}-1-x`, uid: id },
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
  await api.db.transaction(async (tx) => {
    await storePod(tx, { ...release, node, spec });
    await tx.update(releases).set({ httpPort: 8080 }).where(eq(releases.id, release.release));
    await tx.update(nodePlans).set({ generation: sql`${nodePlans.generation} + 1` });
    await announce(tx, `node:${node}`);
  });
  return { id, app: release.app };
}

const desired = (api: TestApi, token: string, etag?: string, waitMs = 10_000) =>
  api.ask(`/v1/node/desired?waitMs=${waitMs}`, {
    token,
    ...(etag !== undefined && { headers: { "if-none-match": etag } }),
  });

const report = (api: TestApi, token: string, json: unknown) =>
  api.ask("/v1/node/report", { method: "POST", token, json });

const seen = (pod: PodId, more: Partial<PodStatus> = {}): PodStatus =>
  PodStatus.parse({ pod, phase: "Running", ready: true, restarts: 0, containers: [], ...more });

const nudges = async (api: TestApi) =>
  (await api.db.execute(sql`select subject from outbox where topic = 'schedule'`)).map(
    (it) => it.subject as AppId,
  );

test("joining is no plan: a node that nobody planned for is at generation 0, whatever its key", async () => {
  await using api = await startApi();
  await joined(api);

  const again = await joined(api, "local", new Uint8Array(32).fill(3));

  expect((await desired(api, again.token)).body).toMatchObject({ generation: 0, pods: [] });
});

test("joining again keeps the node and ends its older token", async () => {
  await using api = await startApi();
  const before = await joined(api);

  const after = await joined(api);

  expect(after.node).toBe(before.node);
  expect((await desired(api, before.token)).status).toBe(401);
  expect((await desired(api, after.token)).status).toBe(200);
});

test("the agent is given its wish whole, and told at once when it changes", async () => {
  await using api = await startApi();
  const node = await joined(api);
  const empty = await desired(api, node.token);

  const asked = desired(api, node.token, empty.headers.get("etag") ?? "");
  const { id } = await placed(api, node.node);
  const answer = await asked;

  expect(DesiredState.parse(empty.body)).toMatchObject({ generation: 0, pods: [], routes: [] });
  const wish = DesiredState.parse(answer.body);
  expect(answer.headers.get("etag")).toBe('"1"');
  expect(wish).toMatchObject({ node: node.node, generation: 1 });
  expect(wish.pods.map((pod) => pod.metadata.uid)).toEqual([id]);
  expect(wish.routes).toEqual([
    { app: "shop", hosts: ["shop.localhost"], port: 8080, pods: [id], nodePorts: {}, remote: [] },
  ]);
});

test("what happens on one node is told to the others at once, where it changes their routes", async () => {
  await using api = await startApi();
  const [here, there] = [await joined(api), await joined(api, "other")];
  for (const [index, { token }] of [here, there].entries())
    await report(api, token, { ...aReport([]), address: `10.9.0.${index + 1}` });
  const empty = await desired(api, here.token);

  const asked = desired(api, here.token, empty.headers.get("etag") ?? "");
  const { id, app } = await placed(api, there.node);
  await api.db.update(pods).set({ nodePort: 31_000 }).where(eq(pods.id, id));
  await api.db.transaction((tx) => renewRoutesTo(tx, app));

  expect(DesiredState.parse((await asked).body)).toMatchObject({
    pods: [],
    peers: ["10.9.0.2"],
    routes: [{ app: "shop", pods: [], remote: [{ pod: id, address: "10.9.0.2", port: 31_000 }] }],
  });
});

test("of one boot the report that was made last counts, whichever comes last, and the other is taken in peace", async () => {
  await using api = await startApi();
  const { node, token } = await joined(api);
  const { id } = await placed(api, node);
  const shown = async () => (await api.ask("/v1/apps/shop")).body.pods[0];
  const say = (sinceBootMs: number, more: Partial<PodStatus> = {}, bootId = "boot") =>
    report(api, token, { ...aReport([seen(id, more)], 1), bootId, sinceBootMs });
  await say(2_000);
  await say(3_000, { ready: false });

  const late = await say(1_000, { ready: true, restarts: 7 });
  const afterLate = await shown();
  const sameAgain = await say(3_500, { ready: false });
  const repeatedLate = await say(3_200, { restarts: 9 });
  const afterRepetition = await shown();
  await say(10, { restarts: 1 }, "the next boot");
  const afterBoot = await shown();
  await api.db.execute(sql`update node_status set seen_at = now() - interval '3 minutes'`);
  await say(5, { restarts: 2 }, "the next boot");

  expect([late, sameAgain, repeatedLate].map((it) => it.status)).toEqual([204, 204, 204]);
  expect(afterLate).toMatchObject({ ready: false, restarts: 0 });
  expect(afterRepetition).toMatchObject({ ready: false, restarts: 0 });
  expect(afterBoot).toMatchObject({ ready: true, restarts: 1 });
  // Nothing was heard for long: its clock was set back, and nothing of it is late.
  expect(await shown()).toMatchObject({ ready: true, restarts: 2 });
});

test("a deleted app has no route any more, though its pod is still there and its name is taken again", async () => {
  await using api = await startApi();
  const node = await joined(api);
  const before = await placed(api, node.node);
  await api.ask("/v1/apps/shop", { method: "DELETE" });
  const after = await placed(api, node.node);

  const wish = DesiredState.parse((await desired(api, node.token)).body);

  expect(wish.pods.map((pod) => pod.metadata.uid)).toEqual([before.id, after.id]);
  expect(wish.routes).toMatchObject([
    { app: "shop", hosts: ["shop.localhost"], port: 8080, pods: [after.id] },
  ]);
});

test("requests go to no pod of a release without a port, and to none that has run to its end", async () => {
  await using api = await startApi();
  const node = await joined(api);
  const job = await placed(api, node.node, "job");
  const shop = await placed(api, node.node);
  await report(api, node.token, aReport([seen(job.id, { phase: "Succeeded", ready: false })], 2));

  const ended = DesiredState.parse((await desired(api, node.token)).body);
  await api.db.execute(sql`update releases set http_port = null`);
  const without = DesiredState.parse((await desired(api, node.token)).body);

  expect(ended.pods).toHaveLength(2);
  expect(ended.routes).toMatchObject([{ app: "shop", pods: [shop.id] }]);
  expect(without.pods).toHaveLength(2);
  expect(without.routes).toEqual([]);
});

test("what a node says of its runtime handlers is kept, and an older report says nothing new", async () => {
  await using api = await startApi();
  const node = await joined(api);
  const handlers = async () =>
    (await api.db.execute(sql`select handlers from node_status`)).map((it) => it.handlers);

  await wishedUpTo(api.db, 3);
  await report(api, node.token, { ...aReport([], 3), handlers: ["runsc"] });
  const first = await handlers();
  await report(api, node.token, { ...aReport([], 2), handlers: ["kata"] });
  const older = await handlers();
  await report(api, node.token, { ...aReport([], 3), handlers: ["kata", "runsc"] });

  expect([first, older, await handlers()]).toEqual([[["runsc"]], [["runsc"]], [["kata", "runsc"]]]);
});

test("nothing new is a 304, and so is a stop of the api", async () => {
  await using api = await startApi();
  const node = await joined(api);

  const quiet = await desired(api, node.token, '"0"', 50);
  const waiting = desired(api, node.token, '"0"', 30_000);
  api.stop();

  expect(quiet.status).toBe(304);
  expect((await waiting).status).toBe(304);
});

/** When the next poll begins to wait, and when its wait is over. */
function nextWait({ deps }: TestApi) {
  const { changes } = deps;
  const [begun, ended] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const watch: Changes["watch"] = (topic) => {
    const made = changes.watch(topic);
    begun.resolve();
    return {
      changed: (ms, signal) => made.changed(ms, signal),
      [Symbol.dispose]: () => {
        made[Symbol.dispose]();
        ended.resolve();
      },
    };
  };
  Object.assign(deps, { changes: { watch } });
  return { begun: begun.promise, ended: ended.promise };
}

test("nothing is kept for an agent that hung up", async () => {
  await using api = await startApi();
  const node = await joined(api);
  const tag = (await desired(api, node.token)).headers.get("etag") ?? "";
  const headers = { authorization: `Bearer ${node.token}`, "if-none-match": tag };
  const hangUp = new AbortController();
  const waits = nextWait(api);

  const asked = fetch(`${api.url}/v1/node/desired`, { headers, signal: hangUp.signal });
  await waits.begun;
  hangUp.abort();

  await expect(asked).rejects.toThrow("aborted");
  // Its time would be up after 25 s, and this test's before.
  await waits.ended;
});

test("a poll that is refused while it waits is told why, as any other request is", async () => {
  await using api = await startApi();
  const node = await joined(api);
  const tag = (await desired(api, node.token)).headers.get("etag") ?? "";
  const headers = { "if-none-match": tag, "x-request-id": "mine" };

  const waits = nextWait(api);

  const asked = api.ask("/v1/node/desired", { token: node.token, headers });
  await waits.begun;
  await joined(api);
  const answer = await asked;

  expect(answer.status).toBe(401);
  expect(answer.body).toMatchObject({ type: "/problems/token-invalid", status: 401 });
  expect(answer.headers.get("content-type")).toBe("application/problem+json");
  expect(answer.headers.get("www-authenticate")).toBe("Bearer");
  expect(answer.headers.get("x-request-id")).toBe("mine");
});

test("a node without a plan gets no empty wish", async () => {
  await using api = await startApi();
  const node = await joined(api);
  await api.db.execute(sql`delete from node_plans`);

  expect((await desired(api, node.token)).status).toBe(503);
});

test("a report is seen in the app, wakes the scheduler once, and its repetition wakes nobody", async () => {
  await using api = await startApi();
  const node = await joined(api);
  const { id, app } = await placed(api, node.node);
  await api.db.execute(sql`delete from outbox`);

  const first = await report(api, node.token, aReport([seen(id, { ip: "10.0.0.2" })], 1));
  const woken = await nudges(api);
  await api.db.execute(sql`delete from outbox`);
  await report(api, node.token, aReport([seen(id, { ip: "10.0.0.2" })], 1));

  expect(first.status).toBe(204);
  expect(woken).toEqual([app]);
  expect(await nudges(api)).toEqual([]);
  expect((await api.ask("/v1/apps/shop")).body.pods).toMatchObject([
    { name: "shop-1-x", node: "local", phase: "Running", ready: true, ip: "10.0.0.2", release: 1 },
  ]);
});

test("what a container said of itself never silences its node", async () => {
  await using api = await startApi();
  const node = await joined(api);
  const { id } = await placed(api, node.node);
  const cut = "no space left: 😀".slice(0, -1);

  const answer = await report(api, node.token, aReport([seen(id, { reason: `${cut}\0` })], 1));

  expect(answer.status).toBe(204);
  expect((await api.ask("/v1/apps/shop")).body.pods[0].reason).toBe("no space left: \uFFFD\uFFFD");
});

test("a pod that its node no longer names is no longer seen", async () => {
  await using api = await startApi();
  const node = await joined(api);
  const { id, app } = await placed(api, node.node);
  await report(api, node.token, aReport([seen(id)], 1));
  await api.db.execute(sql`delete from outbox`);

  await report(api, node.token, aReport([], 1));

  expect(await nudges(api)).toEqual([app]);
  expect((await api.ask("/v1/apps/shop")).body.pods).toMatchObject([{ phase: "Pending" }]);
});

test("an older report stops nothing and is not believed", async () => {
  await using api = await startApi();
  const node = await joined(api);
  const { id } = await placed(api, node.node);
  await wishedUpTo(api.db, 5);
  await report(api, node.token, aReport([seen(id)], 5));

  const older = await report(api, node.token, aReport([], 4));

  expect(older.status).toBe(204);
  expect((await api.ask("/v1/apps/shop")).body.pods).toMatchObject([{ phase: "Running" }]);
});

test("a node cannot speak of another node's pods", async () => {
  await using api = await startApi();
  const node = await joined(api);
  const other = await joined(api, "other");
  const { id } = await placed(api, node.node);

  await report(api, other.token, aReport([seen(id)], 1));

  expect((await api.ask("/v1/apps/shop")).body.pods).toMatchObject([
    { phase: "Pending", ready: false },
  ]);
});

test("a node that is silent for 45 s makes its pods unknown, and says since when", async () => {
  await using api = await startApi();
  const node = await joined(api);
  const { id } = await placed(api, node.node);
  await report(api, node.token, aReport([seen(id)], 1));
  await api.db.execute(sql`update node_status set seen_at = now() - interval '50 seconds'`);

  const { pods: shown } = (await api.ask("/v1/apps/shop")).body;

  expect(shown).toMatchObject([{ phase: "Unknown", ready: false }]);
  expect(shown[0].reason).toMatch(/^its node is silent since 2\d{3}-/);
  expect((await api.ask("/v1/nodes")).body.nodes).toMatchObject([{ name: "local", ready: false }]);
});

test("a report that does not validate is refused with the fields", async () => {
  await using api = await startApi();
  const node = await joined(api);

  const answer = await report(api, node.token, { ...aReport([]), version: 1 });

  expect(answer.status).toBe(422);
  expect(answer.body.errors).toMatchObject([{ pointer: "/version" }]);
});

test("using a node's token makes it live longer", async () => {
  await using api = await startApi();
  const node = await joined(api);
  await api.db.execute(
    sql`update tokens set expires_at = now() + interval '1 minute' where kind = 'node'`,
  );

  await desired(api, node.token);

  await eventually(async () => {
    const [row] = await api.db.execute(
      sql`select expires_at > now() + interval '23 hours' as long from tokens where kind = 'node'`,
    );
    expect(row).toEqual({ long: true });
  });
});
