import { eq } from "drizzle-orm";
import { expect, test } from "vitest";
import type { PodStatus } from "../../../contract/node/protocol.ts";
import { POD_LABELS } from "../../../contract/pod/pod.ts";
import type { Declared } from "../../../db/apps/apps.ts";
import { findUnsettled } from "../../../db/apps/unsettled.ts";
import type { Db } from "../../../db/client.ts";
import { storeReport } from "../../../db/nodes/sight.ts";
import { releases } from "../../../db/schema/core.ts";
import { events } from "../../../db/schema/history.ts";
import { volumes } from "../../../db/schema/material.ts";
import { scheduleApp } from "../../../worker/schedule/run.ts";
import {
  aDigest,
  aReport,
  built,
  declare,
  declareSpec,
  joinedNode,
} from "../../support/declared.ts";
import { freshDb } from "../../support/postgres.ts";
import { generation, phases, seen, wantedPods } from "./scheduled.ts";
import { aContainer } from "./world.ts";

const NGINX = { images: { nginx: `library/nginx@${aDigest("c")}` }, httpPort: null };

async function builtAndPlaced(db: Db, declared: Declared, frozen: object = {}) {
  await built(db, declared, undefined, frozen);
  return await scheduleApp(db, declared.app);
}

function aPodApp(name: string, spec: object = {}, metadata: object = {}): object {
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, ...metadata },
    spec: { containers: [{ name: "web", image: "nginx" }], ...spec },
  };
  return { name, pod };
}

test.each<[string, object, object]>([
  ["replicas", {}, { replicas: 2 }],
  ["rollout", {}, { rollout: { maxSurge: 3 } }],
])("a change of %s alone leaves the running pod as it is", async (_, before, after) => {
  await using pg = await freshDb();
  const node = await joinedNode(pg.db);
  const first = await declare(pg.db, "shop", aDigest("a"), before);
  await builtAndPlaced(pg.db, first);
  await seen(pg.db, first.app, node, { ready: true });
  const [pod] = await wantedPods(pg.db);
  const generationBefore = await generation(pg.db, node);

  const second = await declare(pg.db, "shop", aDigest("a"), after);
  await builtAndPlaced(pg.db, second);
  await seen(pg.db, second.app, node, { ready: true });

  const [same] = await wantedPods(pg.db);
  expect(await phases(pg.db)).toEqual(["retired", "live"]);
  expect(same).toMatchObject({ id: pod?.id, releaseId: second.release, wanted: "run" });
  expect(same?.spec.spec).toEqual(pod?.spec.spec);
  expect(same?.spec.metadata.name).toBe(pod?.spec.metadata.name);
  expect(same?.spec.metadata.labels).toMatchObject({ [POD_LABELS.release]: "2" });
  expect(await generation(pg.db, node)).toBe(generationBefore + 1);
});

test("a change of a pod's labels is told to its node and restarts nothing; a restart makes it anew", async () => {
  await using pg = await freshDb();
  const node = await joinedNode(pg.db);
  const first = await declareSpec(pg.db, aPodApp("shop"));
  await builtAndPlaced(pg.db, first, NGINX);
  await seen(pg.db, first.app, node, { phase: "Succeeded" });
  const [pod] = await wantedPods(pg.db);

  const labelled = await declareSpec(pg.db, aPodApp("shop", {}, { labels: { team: "blue" } }));
  await builtAndPlaced(pg.db, labelled, NGINX);

  const [same] = await wantedPods(pg.db);
  expect(await phases(pg.db)).toEqual(["retired", "live"]);
  expect(same?.id).toBe(pod?.id);
  expect(same?.spec.metadata.labels).toMatchObject({ team: "blue" });
  const told = await pg.db.select().from(events).where(eq(events.type, "pod-adopted"));
  expect(told.map((it) => it.message)).toEqual([
    `pod ${pod?.spec.metadata.name} stays: release 2 asks for the same`,
  ]);

  const restart = await declareSpec(pg.db, aPodApp("shop", {}, { labels: { team: "blue" } }), {
    newPods: true,
  });
  await builtAndPlaced(pg.db, restart, NGINX);
  await seen(pg.db, first.app, node, { phase: "Succeeded" });

  expect((await wantedPods(pg.db)).map((it) => it.id)).not.toContain(pod?.id);
  expect(await phases(pg.db)).toEqual(["retired", "retired", "live"]);
});

test("a pod that nobody probes is looked at again after a while, and is live then", async () => {
  await using pg = await freshDb();
  const node = await joinedNode(pg.db);
  const declared = await declareSpec(pg.db, aPodApp("shop"));
  await builtAndPlaced(pg.db, declared, NGINX);

  const againMs = await seen(pg.db, declared.app, node, { ready: true });

  expect(await phases(pg.db)).toEqual(["rolling"]);
  expect(againMs).toBeGreaterThan(0);
  expect(againMs).toBeLessThanOrEqual(3_000);
  await new Promise((resolve) => setTimeout(resolve, (againMs ?? 0) + 50));
  expect(await scheduleApp(pg.db, declared.app)).toBeUndefined();
  expect(await phases(pg.db)).toEqual(["live"]);
});

test("a job that fails ends its release in words; one that fails when it is live is left as it is", async () => {
  await using pg = await freshDb();
  const node = await joinedNode(pg.db);
  const spec = { restartPolicy: "Never", containers: [{ name: "job", image: "nginx" }] };
  const good = await declareSpec(pg.db, aPodApp("job", spec));
  await builtAndPlaced(pg.db, good, NGINX);
  await seen(pg.db, good.app, node, { phase: "Succeeded" });
  const failed: Partial<PodStatus> = {
    phase: "Failed",
    containers: [
      aContainer({ name: "side", kind: "sidecar", state: "exited", exitCode: 143 }),
      aContainer({ name: "job", state: "exited", exitCode: 3 }),
    ],
    logTail: ["boom"],
  };

  await seen(pg.db, good.app, node, failed);
  expect(await phases(pg.db)).toEqual(["live"]);
  expect(await wantedPods(pg.db)).toHaveLength(1);
  expect(await findUnsettled(pg.db)).toEqual([]);

  const bad = await declareSpec(pg.db, aPodApp("job", { ...spec, hostname: "other" }));
  await builtAndPlaced(pg.db, bad, NGINX);
  await seen(pg.db, bad.app, node, failed);

  expect(await phases(pg.db)).toEqual(["live", "failed"]);
  const [row] = await pg.db.select().from(releases).where(eq(releases.id, bad.release));
  expect(row?.failure).toEqual({
    slug: "pod-failed",
    message: 'the container "job" ended with exit code 3',
    log: ["boom"],
  });
});

test("a named volume gets its node with the first pod, and holds all others there, from any worker at once", async () => {
  await using pg = await freshDb({ max: 10 });
  for (const name of ["node-a", "node-b", "node-c"]) await joinedNode(pg.db, name);
  const claim = { volumes: [{ name: "v", persistentVolumeClaim: { claimName: "data" } }] };
  const apps = await Promise.all(
    ["one", "two", "three", "four"].map((name) =>
      declareSpec(pg.db, { ...aPodApp(name, claim), replicas: 2 }),
    ),
  );
  for (const app of apps) await built(pg.db, app, undefined, NGINX);

  await Promise.all(apps.map((it) => scheduleApp(pg.db, it.app)));

  const [volume] = await pg.db.select().from(volumes);
  const homes = (await wantedPods(pg.db)).map((it) => it.nodeId);
  expect(homes).toHaveLength(8);
  expect(new Set(homes)).toEqual(new Set([volume?.nodeId]));
});

test("a pod waits for its handler in words, and goes to the node that has it", async () => {
  await using pg = await freshDb();
  const node = await joinedNode(pg.db, "node-a");
  await storeReport(pg.db, node, { ...aReport([]), handlers: ["runsc"] });
  const declared = await declareSpec(pg.db, aPodApp("shop", { runtimeClassName: "kata" }));

  await builtAndPlaced(pg.db, declared, NGINX);
  await scheduleApp(pg.db, declared.app);

  const said = await pg.db.select().from(events).where(eq(events.type, "pod-waiting"));
  expect(said.map((it) => it.message)).toEqual([
    'no node can take the pod: node-a: has no runtime handler "kata" (it has runsc)',
  ]);
  await storeReport(pg.db, node, { ...aReport([]), handlers: ["kata", "runsc"] });
  await scheduleApp(pg.db, declared.app);
  expect(await wantedPods(pg.db)).toHaveLength(1);
});

test("a host port is free again once its pod is no longer seen, and what is over takes no room", async () => {
  await using pg = await freshDb();
  const node = await joinedNode(pg.db);
  const port = { containerPort: 80, hostPort: 8443 };
  const spec = (name: string) => ({ containers: [{ name, image: "nginx", ports: [port] }] });
  const first = await declareSpec(pg.db, aPodApp("shop", spec("a")));
  await builtAndPlaced(pg.db, first, { ...NGINX, httpPort: 80 });
  await seen(pg.db, first.app, node, { ready: true });
  const [old] = await wantedPods(pg.db);

  const second = await declareSpec(pg.db, aPodApp("shop", spec("b")));
  await builtAndPlaced(pg.db, second, { ...NGINX, httpPort: 80 });
  expect(await wantedPods(pg.db)).toEqual([]);
  await scheduleApp(pg.db, second.app);
  expect(await wantedPods(pg.db)).toEqual([]);
  await storeReport(pg.db, node, aReport([], await generation(pg.db, node)));
  await scheduleApp(pg.db, second.app);

  const [fresh, ...others] = await wantedPods(pg.db);
  expect(others).toEqual([]);
  expect(fresh?.id).not.toBe(old?.id);
  await seen(pg.db, second.app, node, { ready: true });
  expect(await phases(pg.db)).toEqual(["retired", "live"]);

  await seen(pg.db, second.app, node, { phase: "Failed" });
  const neighbour = await declareSpec(pg.db, aPodApp("neighbour", spec("c")));
  await builtAndPlaced(pg.db, neighbour, NGINX);
  expect(await wantedPods(pg.db)).toHaveLength(2);
});
