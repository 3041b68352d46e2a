import { expect, test } from "vitest";
import { NodeReport } from "../../contract/node-protocol.ts";
import type { Verdict } from "../../node-agent/probes/verdict.ts";
import { needsLogTail, podStatuses, type Sight, urgentPart } from "../../node-agent/report.ts";
import { aPod } from "../support/pods.ts";
import { aContainer, aSandbox, fp, uidOf } from "./a-world.ts";

const pod = aPod();
const verdict = (readiness: Verdict["readiness"], status?: number): Verdict => ({
  readiness,
  started: true,
  startupFailed: false,
  successes: 0,
  failures: 1,
  sight: status === undefined ? undefined : { status, times: 3, latencyMs: 2, excerpt: "x" },
});

function statusOf(said: Partial<Sight> = {}) {
  const sight: Sight = {
    wanted: [{ pod, fingerprint: fp(pod) }],
    leaving: true,
    seen: [aSandbox(pod)],
    busy: new Map(),
    setbacks: new Map(),
    verdicts: new Map([["c1", verdict("ready", 200)]]),
    unrouted: new Set(),
    nowMs: 2_500,
    ...said,
  };
  const pods = podStatuses(sight);
  NodeReport.shape.pods.parse(pods);
  return pods[0];
}
const ended = (said: Parameters<typeof aContainer>[0]) =>
  statusOf({ seen: [aSandbox(pod, { containers: [aContainer({ state: "exited", ...said })] })] });

test("a pod that answers and is routed to is ready, and says no more than that", () => {
  expect(statusOf()).toEqual({
    pod: uidOf(pod),
    phase: "Running",
    ready: true,
    restarts: 0,
    ip: "10.0.0.2",
    containers: [
      { name: "web", state: "running", restarts: 0, startedAt: expect.stringMatching(/Z$/) },
    ],
    logTail: [],
  });
});

test("a pod that nobody can reach through the ingress is not ready, whatever it answers", () => {
  expect(statusOf({ unrouted: new Set([uidOf(pod)]) })).toMatchObject({
    ready: false,
    reason: expect.stringContaining("ingress"),
  });
});

test("a pod that is not there yet is pending", () => {
  expect(statusOf({ seen: [] })).toMatchObject({
    phase: "Pending",
    ready: false,
    containers: [{ state: "waiting", reason: "ContainerCreating" }],
  });
});

test("an ended container that the runtime does not tell about is not said to be in the making", () => {
  const ended = { ...aContainer({ state: "exited" }), detail: undefined };

  expect(statusOf({ seen: [aSandbox(pod, { unclear: true, containers: [ended] })] })).toMatchObject(
    {
      containers: [{ state: "waiting", reason: "ContainerStatusUnknown" }],
    },
  );
});

test("a step that failed is told with Kubernetes' word and the cause", () => {
  const setback = { failures: 1, atMs: 0, reason: "ErrImagePull", message: "no such digest" };

  expect(statusOf({ seen: [], setbacks: new Map([[uidOf(pod), setback]]) })).toMatchObject({
    reason: "no such digest",
    containers: [{ state: "waiting", reason: "ErrImagePull", message: "no such digest" }],
  });
});

test.each([
  [{ exitCode: 1 }, "exited", "Error"],
  [{ exitCode: 0 }, "exited", "Completed"],
  [{ exitCode: 1, crashes: 2, restarts: 2 }, "waiting", "CrashLoopBackOff"],
  [{ exitCode: 137, reason: "OOMKilled" }, "exited", "OOMKilled"],
  [{ exitCode: 137, reason: "OOMKilled", crashes: 2 }, "exited", "OOMKilled"],
])("a container that ended as %j is %s: %s", (said, state, reason) => {
  expect(ended(said)?.containers[0]).toMatchObject({ state, reason, exitCode: said.exitCode });
});

test("a pod of an older spec, or with a dead sandbox, is not ready", () => {
  expect(statusOf({ seen: [aSandbox(pod, { fingerprint: "old" })] })?.ready).toBe(false);
  expect(statusOf({ seen: [aSandbox(pod, { ready: false })] })?.ready).toBe(false);
});

test("a pod that is being taken away is terminating, and not ready any more", () => {
  expect(statusOf({ wanted: [] })).toMatchObject({ phase: "Terminating", ready: false });
  expect(statusOf({ busy: new Map([[uidOf(pod), "remove-sandboxes"]]) })?.ready).toBe(false);
});

test("a pod that nobody has decided about yet is not said to be leaving", () => {
  const undecided = { wanted: [], leaving: false };

  expect(statusOf(undecided)).toMatchObject({ phase: "Running", ready: false });
  expect(statusOf({ ...undecided, seen: [aSandbox(pod, { ready: false })] })?.phase).toBe(
    "Pending",
  );
});

test("the words of a container are wanted while it ended or answers badly, and not otherwise", () => {
  const sick = statusOf({ verdicts: new Map([["c1", verdict("not-ready", 404)]]) });
  const crashed = ended({ exitCode: 1 });
  const fine = statusOf();
  if (!sick || !crashed || !fine) throw new Error("no status");

  expect([sick, crashed, fine].map(needsLogTail)).toEqual([true, true, false]);
});

test("another count of the same answer is not urgent, another answer is", () => {
  const sick = (status: number, times: number) => {
    const found = statusOf({ verdicts: new Map([["c1", verdict("not-ready", status)]]) });
    if (!found) throw new Error("no status");
    return urgentPart([{ ...found, probe: { status, times } }]);
  };

  expect(sick(404, 3)).toBe(sick(404, 4));
  expect(sick(404, 3)).not.toBe(sick(500, 3));
});
