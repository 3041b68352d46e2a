import { randomUUID } from "node:crypto";
import { expect, test } from "vitest";
import { appAnswer } from "../../api/apps/answers.ts";
import { diff } from "../../api/apps/diff.ts";
import { AppSpec } from "../../contract/app/app-spec.ts";
import { AppId, PodId } from "../../contract/ids.ts";
import { PodStatus } from "../../contract/node/protocol.ts";
import { PROTOCOL } from "../../contract/node/skew.ts";
import type { PodSighting } from "../../db/nodes/sight.ts";
import { aDigest } from "../support/declared.ts";

const NOW = Date.parse("2026-01-01T00:01:00Z");
const CONFIG = {
  appsDomain: "apps.example",
  httpPort: 80,
  maxArtifactBytes: 1,
  hostPolicy: { paths: [], ports: [] },
};

function answer(pod: Partial<PodSighting>, contextPath = "/") {
  const id = PodId.parse(randomUUID());
  const status = PodStatus.parse({
    pod: id,
    phase: "Running",
    ready: false,
    restarts: 2,
    containers: [],
    probe: { status: 404, times: 7 },
  });
  const spec = AppSpec.parse({ name: "shop", war: { artifact: aDigest("a"), contextPath } });
  const at = new Date(NOW);
  const app = {
    id: AppId.parse(randomUUID()),
    name: "shop",
    spec,
    generation: 1,
    createdAt: at,
    updatedAt: at,
  };
  const base = { pod: id, name: "shop-1-x", node: "local", release: 1, wanted: "run" } as const;
  const told = { nodeSeenAt: new Date(NOW - 44_000), nodeProtocol: PROTOCOL };
  const sighting = { ...base, status, ...told, ...pod };
  return appAnswer(CONFIG, app, { live: null, wanted: 1, httpPort: null }, [sighting], NOW);
}

test("a pod that is not ready says what its probe last heard", () => {
  expect(answer({}).pods).toMatchObject([
    {
      phase: "Running",
      ready: false,
      restarts: 2,
      reason: "not ready: HTTP 404, 7 times in a row",
    },
  ]);
});

test("a pod that is to go is leaving, also before its agent has heard so", () => {
  const leaving = answer({ wanted: "gone" });
  const done = answer({
    wanted: "gone",
    status: PodStatus.parse({
      pod: randomUUID(),
      phase: "Succeeded",
      ready: false,
      restarts: 0,
      containers: [],
    }),
  });

  expect(leaving.pods).toMatchObject([{ phase: "Terminating", ready: false }]);
  expect(done.pods).toMatchObject([{ phase: "Succeeded" }]);
});

test("what a silent node said last is not shown as what is", () => {
  const [pod] = answer({ nodeSeenAt: new Date(NOW - 46_000) }).pods;

  expect(pod).toMatchObject({
    phase: "Unknown",
    ready: false,
    reason: "its node is silent since 2026-01-01T00:00:14.000Z",
  });
});

test.each(["Succeeded", "Failed"])("a pod that %s stays so, however silent its node", (phase) => {
  const id = PodId.parse(randomUUID());
  const ended = { name: "job", state: "exited", restarts: 2, exitCode: 1, reason: "Error" };
  const status = PodStatus.parse({
    pod: id,
    phase,
    ready: false,
    restarts: 2,
    containers: [ended],
  });

  expect(answer({ status, nodeSeenAt: new Date(NOW - 90_000) }).pods).toMatchObject([
    { phase, restarts: 2, containers: [{ kind: "main", exitCode: 1, reason: "Error" }] },
  ]);
});

test("a pod that nobody saw yet is pending, and its node's silence is told", () => {
  expect(answer({ status: null }).pods).toMatchObject([{ phase: "Pending", reason: null }]);
  expect(answer({ status: null, nodeSeenAt: null }).pods).toMatchObject([
    { phase: "Pending", reason: "its node has never reported" },
  ]);
});

test("an app's address has no port 80, and ends in a slash that nothing has to redirect to", () => {
  expect(answer({}).url).toBe("http://shop.apps.example/");
  expect(answer({}, "/a/b").url).toBe("http://shop.apps.example/a/b/");
});

test("a difference names each leaf by pointer; the order of keys is none", () => {
  const changes = diff(
    { a: { b: 1, "x/y": 2 }, list: [{ p: 1, q: 2 }], gone: null },
    { a: { "x/y": 3, b: 1 }, list: [{ q: 2, p: 1 }], come: {} },
  );

  expect(changes).toEqual([
    { pointer: "/a/x~1y", from: 2, to: 3 },
    { pointer: "/come", to: {} },
    { pointer: "/gone", from: null },
  ]);
});
