import { expect, test } from "vitest";
import { PodId } from "../../../contract/ids.ts";
import type { ContainerStatus, PodStatus } from "../../../contract/node/protocol.ts";
import { diagnose, type Nature } from "../../../worker/schedule/diagnose.ts";
import { describeUnready } from "../../../worker/schedule/unready.ts";
import { aContainer, aStatus } from "./world.ts";

const ID = PodId.parse("0b6f7a4e-5f0e-4d7e-9c55-0d1a2b3c4d5e");
const A_POD: Nature = { source: "pod", restartPolicy: "Always" };
const A_JOB: Nature = { source: "pod", restartPolicy: "Never" };
const A_WAR: Nature = { source: "war", restartPolicy: "Always" };

const main = (said: Partial<ContainerStatus>) => aContainer({ name: "web", ...said });
const side = (said: Partial<ContainerStatus>) =>
  aContainer({ name: "proxy", kind: "sidecar", ready: true, ...said });
const init = (said: Partial<ContainerStatus>) =>
  aContainer({ name: "migrate", kind: "init", ...said });

const seen = (containers: ContainerStatus[], said: Partial<PodStatus> = {}) =>
  aStatus(ID, { containers, ...said });

const failure = (said: object) => ({
  probe: "readiness" as const,
  at: "2026-01-01T00:00:00.000Z",
  latencyMs: 3,
  excerpt: "",
  ...said,
});

test.each<[string, PodStatus, Nature, { slug: string; message: string }]>([
  [
    "a crash loop",
    seen([side({}), main({ state: "waiting", restarts: 3, exitCode: 2 })]),
    A_POD,
    {
      slug: "app-crashes",
      message: 'the container "web" ended 4 times by itself, the last time with exit code 2',
    },
  ],
  [
    "a container that its liveness probe goes on stopping",
    seen([
      main({
        restarts: 3,
        exitCode: 143,
        probeFailures: [{ ...failure({}), probe: "liveness" }],
      }),
    ]),
    A_POD,
    {
      slug: "app-crashes",
      message:
        "the app ended 4 times because its liveness probe failed, the last time with exit code 143",
    },
  ],
  [
    "an init container that goes on failing",
    seen([init({ state: "waiting", restarts: 3, exitCode: 1 }), main({ state: "waiting" })]),
    A_POD,
    {
      slug: "app-crashes",
      message:
        'the init container "migrate" ended 4 times by itself, the last time with exit code 1',
    },
  ],
  [
    "too little memory",
    seen([side({ state: "exited", reason: "OOMKilled", ready: false }), main({})]),
    A_POD,
    {
      slug: "out-of-memory",
      message:
        'the kernel killed the sidecar "proxy" for using more than resources.limits.memory; give it more',
    },
  ],
  [
    "a job that failed",
    seen(
      [init({ state: "exited", exitCode: 0, ready: true }), main({ state: "exited", exitCode: 3 })],
      {
        phase: "Failed",
      },
    ),
    A_JOB,
    { slug: "pod-failed", message: 'the container "web" ended with exit code 3' },
  ],
  [
    "one container of a pod that runs on and is never started again",
    seen([
      main({ ready: true }),
      aContainer({ name: "writer", state: "exited", exitCode: 127, reason: "Error" }),
    ]),
    A_JOB,
    { slug: "pod-failed", message: 'the container "writer" ended with exit code 127' },
  ],
  [
    "a pod that failed without one at fault",
    seen([main({ state: "exited", exitCode: 0 })], { phase: "Failed", reason: "evicted" }),
    A_POD,
    { slug: "pod-failed", message: "evicted" },
  ],
])("%s is proof, and names who is at fault", (_, status, nature, diagnosis) => {
  expect(diagnose(status, nature)).toEqual(diagnosis);
});

test.each<[string, PodStatus, Nature]>([
  ["is ready", seen([main({ restarts: 9, ready: true })], { ready: true }), A_POD],
  ["has succeeded", seen([main({ state: "exited", exitCode: 0 })], { phase: "Succeeded" }), A_JOB],
  ["has a helper that often restarts and works", seen([main({}), side({ restarts: 9 })]), A_POD],
  ["ended once and is started again", seen([main({ state: "exited", exitCode: 1 })]), A_POD],
  ["answers 404 and is no Tomcat", seen([main({})], { probe: { status: 404, times: 99 } }), A_POD],
  ["answered 404 four times", seen([main({})], { probe: { status: 404, times: 4 } }), A_WAR],
])("nothing is proven by a pod that %s", (_, status, nature) => {
  expect(diagnose(status, nature)).toBeUndefined();
});

test.each<[PodStatus, { slug: string; message: string }]>([
  [
    seen([
      main({ state: "waiting", reason: "ErrImagePull", message: "no such manifest" }),
      side({}),
    ]),
    { slug: "not-started", message: 'the container "web" waits: ErrImagePull: no such manifest' },
  ],
  [
    seen([init({ state: "running" }), main({ state: "waiting", reason: "PodInitializing" })]),
    { slug: "not-started", message: 'the init container "migrate" has not come to its end' },
  ],
  [
    seen([
      init({ state: "waiting", reason: "CrashLoopBackOff", message: "Error" }),
      main({ state: "waiting", reason: "PodInitializing" }),
    ]),
    {
      slug: "app-crashes",
      message: 'the init container "migrate" waits: CrashLoopBackOff: Error',
    },
  ],
  [
    seen([main({ probeFailures: [failure({ status: 503, excerpt: "warming up" })] }), side({})], {
      probe: { status: 503, times: 2 },
    }),
    {
      slug: "health-failed",
      message: 'the readiness probe of the container "web" got 503 (warming up)',
    },
  ],
  [
    seen([
      main({ ready: true }),
      side({ ready: false, probeFailures: [failure({ excerpt: "refused" })] }),
    ]),
    {
      slug: "nothing-listens",
      message: 'nothing answers the readiness probe of the sidecar "proxy" (refused)',
    },
  ],
  [
    seen([main({ state: "exited", exitCode: 0, reason: "Completed" }), side({})]),
    { slug: "not-ready", message: 'the container "web" ended with exit code 0 (Completed)' },
  ],
])("at its deadline a pod that is not ready says whose fault that is: %#", (status, words) => {
  expect(describeUnready(status)).toEqual(words);
});
