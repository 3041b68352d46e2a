import { readFile } from "node:fs/promises";
import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { NodeId } from "../../contract/ids.ts";
import { endAdoptions } from "../../db/nodes/adopt.ts";
import { renewWish } from "../../db/nodes/desired.ts";
import { findNode } from "../../db/nodes/nodes.ts";
import { renewRoutes } from "../../db/nodes/routes.ts";
import { LABELS } from "../../node-agent/runtime/labels.ts";
import { scheduleApp } from "../../worker/schedule/run.ts";
import { aToken, startApi, type TestApi } from "../support/api.ts";
import { backUp } from "../support/backup.ts";
import { aDigest, built, declareSpec } from "../support/declared.ts";
import { eventually } from "../support/eventually.ts";
import { openMemoryAgent } from "../support/memory-agent.ts";
import { openMemoryRuntime } from "../support/memory-runtime.ts";
import { wantedPods } from "../worker/schedule/scheduled.ts";

/* The whole agent, over a runtime in memory, below an api whose database is restored from a backup. */

const IMAGE = `base/tool@${aDigest("c")}`;
const pulled = (letter: string) => `waybill.internal/apps/default/tool@${aDigest(letter)}`;

/** A release of an app that takes no requests, built with this image. */
async function declared(api: TestApi, name: string, letter: string) {
  const limits = { cpu: "1", memory: "64Mi" };
  const containers = [{ name: "tool", image: IMAGE, resources: { limits } }];
  const pod = { apiVersion: "v1", kind: "Pod", metadata: { name }, spec: { containers } };
  const release = await declareSpec(api.db, { name, pod });
  const images = { [IMAGE]: `apps/default/tool@${aDigest(letter)}` };
  await built(api.db, release, aDigest(letter), { images, httpPort: null });
  return release.app;
}

test("an agent goes on below a restored database, alarms, and is taken in without a needless stop", async () => {
  await using api = await startApi();
  const joinToken = await aToken(api.db, { kind: "join", project: api.project, node: "node-a" });
  await using host = await openMemoryAgent({ url: api.url, joinToken });
  const runtime = openMemoryRuntime([pulled("d"), pulled("e"), "waybill.internal/base/pause:1"]);
  /** Which pods have a running container, with its id: the same one was never stopped. */
  const running = async () => {
    const { sandboxes, containers } = await runtime.list();
    return containers
      .filter((it) => it.state === "running")
      .map((it) => {
        const sandbox = sandboxes.find(({ id }) => id === it.sandboxId);
        return `${sandbox?.labels[LABELS.pod]} in ${it.id}`;
      });
  };
  const status = async () => (await api.ask("/v1/nodes/node-a")).body.status;
  host.startAgent(runtime);
  await eventually(async () => expect(await status()).toBe("ready"));
  const kept = await declared(api, "kept", "d");
  await scheduleApp(api.db, kept);
  const first = await eventually(async () => {
    const all = await running();
    expect(all).toHaveLength(1);
    return all;
  });
  const restore = await backUp(api.pg);
  await scheduleApp(api.db, await declared(api, "lost", "e"));
  const both = await eventually(async () => {
    const all = await running();
    expect(all).toHaveLength(2);
    return all;
  });

  await restore();
  const node = NodeId.parse(await findNode(api.db, "node-a"));
  for (let past = 0; past < 10; past++) await renewWish(api.db, node);
  await eventually(
    async () => {
      expect(await status()).toBe("ahead");
      expect(host.said.join("\n")).toContain("never made it");
    },
    { withinMs: 30_000 },
  );

  expect(await running()).toEqual(both);
  expect((await api.ask("/v1/nodes/node-a/adopt", { method: "POST" })).body.adopts).toBe(true);
  await eventually(
    async () => {
      await endAdoptions(api.db);
      expect(await running()).toEqual(first);
      expect(await status()).toBe("ready");
    },
    { withinMs: 30_000, everyMs: 500 },
  );
  expect((await wantedPods(api.db)).map((it) => `${it.id}`)).toEqual([first[0]?.split(" ")[0]]);
}, 90_000);

test("an agent has no routes of a life of the database that is gone, though both counted alike", async () => {
  await using api = await startApi();
  const joinToken = await aToken(api.db, { kind: "join", project: api.project, node: "node-a" });
  await using host = await openMemoryAgent({ url: api.url, joinToken });
  const runtime = openMemoryRuntime(["waybill.internal/base/pause:1"]);
  const routed = async () => {
    const { routing, routingMark } = JSON.parse(await readFile(host.ledgerFile, "utf8"));
    return { routing, routingMark };
  };
  const told = async () => (await api.db.execute(sql`select generation, mark from routing`))[0];
  await renewRoutes(api.db);
  host.startAgent(runtime);
  await eventually(async () => expect(await routed()).toMatchObject({ routing: 1 }));
  const restore = await backUp(api.pg);
  await renewRoutes(api.db);
  await eventually(async () => expect(await routed()).toMatchObject({ routing: 2 }));
  await host.endAgent();
  const lost = await told();
  await restore();
  await renewRoutes(api.db);

  host.startAgent(runtime);

  await eventually(async () => expect(await routed()).toMatchObject({ routing: 3 }));
  expect(await routed()).toEqual({ routing: 3, routingMark: (await told())?.mark });
  expect((await told())?.mark).not.toBe(lost?.mark);
}, 60_000);
