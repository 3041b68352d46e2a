import { sql } from "drizzle-orm";
import fc from "fast-check";
import { expect, test } from "vitest";
import { AppId, type NodeId, ReleaseId } from "../../contract/ids.ts";
import { storeReport } from "../../db/nodes/sight.ts";
import { scheduleApp } from "../../worker/schedule/run.ts";
import { startApi, type TestApi } from "../support/api.ts";
import { aReport, built, joinedNode } from "../support/declared.ts";
import { generation, wantedPods } from "../worker/schedule/scheduled.ts";
import { aStatus } from "../worker/schedule/world.ts";

const number = (max: number) => fc.integer({ min: 0, max });
const OPERATION = fc.oneof(
  fc.record({ kind: fc.constant("put" as const), n: number(2) }),
  fc.record({ kind: fc.constant("scale" as const), n: number(3) }),
  fc.record({ kind: fc.constant("rollback" as const), n: number(5) }),
  fc.record({ kind: fc.constant("restart" as const), n: number(0) }),
  fc.record({ kind: fc.constant("build" as const), n: number(0) }),
  fc.record({ kind: fc.constant("look" as const), n: number(0) }),
  fc.record({ kind: fc.constant("report" as const), n: number(2) }),
  // Often enough something has served, so that there is something to go back to.
  fc.record({ kind: fc.constant("serve" as const), n: number(0) }),
  fc.record({ kind: fc.constant("serve" as const), n: number(0) }),
);
type Operation = typeof OPERATION extends fc.Arbitrary<infer T> ? T : never;

/** One app of a project, what people ask of it, and what a worker and its node come to do. */
function anApp(api: TestApi, node: NodeId, name: string) {
  const ask = (path: string, json?: object) =>
    api.ask(`/v1/apps/${name}${path}`, { method: "POST", ...(json && { json }) });
  const rows = () =>
    api.db.execute<{ id: string; app: string; number: number; phase: string }>(sql`
      select releases.id, app_id as app, number, phase from releases
      join apps on apps.id = app_id where apps.name = ${name} order by number`);
  const look = async () => {
    const [first] = await rows();
    if (first) await scheduleApp(api.db, AppId.parse(first.app));
  };
  const build = async () => {
    for (const row of (await rows()).filter((it) => it.phase === "pending").reverse()) {
      const images = { nginx: `apps/default/shop@sha256:${"c".repeat(64)}` };
      const release = { release: ReleaseId.parse(row.id) } as Parameters<typeof built>[1];
      await built(api.db, release, undefined, { images, httpPort: 80 }).catch(notClaimed);
    }
  };
  const report = async (ready: boolean) => {
    const there = await wantedPods(api.db);
    const pods = there.map((it) => aStatus(it.id, { ready }));
    await storeReport(api.db, node, aReport(pods, await generation(api.db, node)));
  };
  const serve = async () => {
    await build();
    for (let turn = 0; turn < 6; turn++) {
      await look();
      await report(true);
    }
    await look();
  };
  const acts: Record<Operation["kind"], (n: number) => Promise<unknown>> = {
    put: (n) =>
      api.ask(`/v1/apps/${name}`, {
        method: "PUT",
        json: { image: "nginx", http: { port: 80 }, env: { N: String(n) } },
      }),
    scale: (replicas) => ask("/scale", { replicas }),
    rollback: async (n) => {
      const { status, body } = await ask("/rollback", { to: n + 1 });
      if (status !== 200) return;
      const path = `/v1/apps/${name}/releases/${n + 1}/diff/${body.release}`;
      expect((await api.ask(path)).body.changes).toEqual([]);
    },
    restart: () => ask("/restart"),
    build,
    look,
    report: (n) => report(n > 0),
    serve,
  };
  return { rows, serve, act: ({ kind, n }: Operation) => acts[kind](n) };
}

test("whatever is asked in whatever order, the newest wish is live in the end, and none goes back", async () => {
  await using api = await startApi();
  const node = await joinedNode(api.db);
  let apps = 0;

  await fc.assert(
    fc.asyncProperty(fc.array(OPERATION, { minLength: 15, maxLength: 20 }), async (operations) => {
      const name = `shop-${apps++}`;
      const app = anApp(api, node, name);
      await app.act({ kind: "put", n: 0 });
      await app.serve();
      for (const operation of operations) await app.act(operation);
      await app.act({ kind: "put", n: 0 });
      await app.serve();
      await app.serve();

      const releases = await app.rows();
      const newest = releases.at(-1);
      expect(newest?.phase).toBe("live");
      const ends = new Set(["retired", "superseded", "failed", "cancelled"]);
      expect(releases.slice(0, -1).filter((it) => !ends.has(it.phase))).toEqual([]);
      const went = await api.db.execute<{ number: number }>(sql`
        select number from events join releases on releases.id = release_id
        where type = 'release-live' and events.app_id = ${newest?.app} order by events.id`);
      const order = went.map((it) => it.number);
      expect(order).toEqual([...new Set(order)].sort((a, b) => a - b));
      const { pods, spec, live, wanted } = (await api.ask(`/v1/apps/${name}`)).body;
      expect({ live, wanted, pods: pods.length }).toEqual({
        ...{ live: newest?.number, wanted: newest?.number },
        pods: spec.replicas,
      });
    }),
    { numRuns: 3, endOnFailure: true },
  );
}, 60_000);

/** Superseded by a newer one before its build began. */
function notClaimed(error: Error): void {
  if (!error.message.includes("could not be claimed")) throw error;
}
