import { randomUUID } from "node:crypto";
import { expect, test } from "vitest";
import { PodId } from "../../contract/ids.ts";
import { PodStatus } from "../../contract/node/protocol.ts";
import { happeningsBetween } from "../../db/nodes/sight-events.ts";

const POD = PodId.parse(randomUUID());
const seen = (container: object, more: object = {}) =>
  PodStatus.parse({
    pod: POD,
    phase: "Running",
    ready: true,
    restarts: 0,
    containers: [{ name: "web", state: "running", restarts: 0, ready: true, ...container }],
    ...more,
  });
const between = (before: PodStatus | null, after: PodStatus) =>
  happeningsBetween("shop-1-x", before, after).map(({ type, message }) => `${type}: ${message}`);
const failure = (more: object = {}) => ({
  probe: "readiness",
  at: "2026-01-01T00:00:00Z",
  status: 503,
  latencyMs: 3,
  excerpt: "no database\nat line 7",
  ...more,
});

test("a restart says how often and why, once", () => {
  const running = seen({});
  const crashed = seen({
    state: "exited",
    ready: false,
    exitCode: 137,
    signal: 9,
    reason: "OOMKilled",
  });
  const again = seen({ restarts: 1 });

  expect(between(running, crashed)).toEqual([]);
  expect(between(crashed, again)).toEqual([
    'container-restarted: container "web" of shop-1-x was restarted, once so far: OOMKilled, exit code 137 (signal 9)',
  ]);
  expect(between(again, again)).toEqual([]);
});

test("restarts that nobody saw one by one are one event", () => {
  const looping = seen({
    state: "waiting",
    ready: false,
    restarts: 7,
    exitCode: 1,
    reason: "CrashLoopBackOff",
  });

  expect(between(seen({ restarts: 3 }), looping)).toEqual([
    'container-restarted: container "web" of shop-1-x was restarted, 7 times so far: exit code 1',
  ]);
});

test("a pod that is over says how it went, once", () => {
  const failed = seen(
    { state: "exited", ready: false, exitCode: 3, reason: "Error" },
    { phase: "Failed" },
  );
  const succeeded = seen(
    { state: "exited", exitCode: 0, reason: "Completed" },
    { phase: "Succeeded" },
  );

  expect(between(seen({}), failed)).toEqual([
    'pod-failed: shop-1-x failed: container "web" ended with exit code 3',
  ]);
  expect(between(null, succeeded)).toEqual([
    "pod-succeeded: shop-1-x ran to its end: every container succeeded",
  ]);
  expect(between(failed, failed)).toEqual([]);
});

test("a sidecar that was stopped with its pod is not blamed for it", () => {
  const ended = { state: "exited", restarts: 0 };
  const failed = seen(
    {},
    {
      phase: "Failed",
      containers: [
        { ...ended, name: "shipper", kind: "sidecar", exitCode: 143, reason: "Completed" },
        { ...ended, name: "job", exitCode: 2, reason: "Error" },
      ],
    },
  );

  expect(between(null, failed)).toEqual([
    'pod-failed: shop-1-x failed: container "job" ended with exit code 2',
  ]);
});

test("a probe that fails and one that is content again are told once each", () => {
  const failing = seen({ ready: false, probeFailures: [failure()] }, { ready: false });
  const still = seen({ ready: false, probeFailures: [failure(), failure({ status: 500 })] });
  const recovered = seen({ ready: true, probeFailures: [failure()] });

  expect(between(seen({}), failing)).toEqual([
    'probe-failing: the readiness probe of container "web" of shop-1-x fails: 503 no database',
  ]);
  expect(between(failing, still)).toEqual([]);
  expect(between(still, recovered)).toEqual([
    'probe-recovered: the probes of container "web" of shop-1-x are content again',
  ]);
  expect(between(recovered, seen({}))).toEqual([]);
});

test("a probe that nothing answers is told in the connection's words", () => {
  const { status: _, ...unheard } = failure({ probe: "startup", excerpt: "connection refused" });

  expect(between(seen({}), seen({ ready: false, probeFailures: [unheard] }))).toEqual([
    'probe-failing: the startup probe of container "web" of shop-1-x fails: connection refused',
  ]);
});

test("an image that cannot be pulled is told once, however the runtime waits", () => {
  const waiting = (reason: string) =>
    seen({ state: "waiting", ready: false, reason, message: "not found" }, { phase: "Pending" });

  expect(between(waiting("ContainerCreating"), waiting("ErrImagePull"))).toEqual([
    'image-failing: the image of container "web" of shop-1-x cannot be pulled: not found',
  ]);
  expect(between(waiting("ErrImagePull"), waiting("ImagePullBackOff"))).toEqual([]);
});

test("what a pod does on its way out is no event", () => {
  const leaving = seen(
    { ready: false, restarts: 1, probeFailures: [failure()] },
    { phase: "Terminating" },
  );

  expect(between(seen({}), leaving)).toEqual([]);
});
