import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { executors } from "../../node-agent/act/act.ts";
import { placesIn } from "../../node-agent/disk/places.ts";
import { removeCgroup } from "../../node-agent/host/cgroups.ts";
import { openObserver } from "../../node-agent/observe.ts";
import { planNode } from "../../node-agent/plan/plan.ts";
import { RuntimeError } from "../../node-agent/runtime/runtime.ts";
import { someHands } from "../support/hands.ts";
import { openMemoryRuntime } from "../support/memory-runtime.ts";
import { aPod } from "../support/pods.ts";
import { aWorld, uidOf } from "./a-world.ts";

test("a pod that is given up while its image comes does not wait for it", async () => {
  const folder = await mkdtemp(join(tmpdir(), "waybill-test-act-"));
  const places = placesIn(folder, `/waybill-test-${randomUUID().slice(0, 8)}`);
  const pod = aPod();
  const never = new Promise<never>(() => undefined);
  const images = { ensurePause: async () => undefined, ensure: () => never };
  const runtime = openMemoryRuntime([]);
  const hands = someHands({ runtime, images, places });
  const [step] = planNode(aWorld([pod], []));
  if (step?.do !== "start-pod") throw new Error("it is not started");
  const givenUp = new AbortController();
  try {
    const start = executors(hands)["start-pod"](step, givenUp.signal);
    givenUp.abort();

    await expect(start).rejects.toThrow("aborted");
  } finally {
    await removeCgroup(places.podCgroup(uidOf(pod)));
    await removeCgroup(places.cgroup);
    await rm(folder, { recursive: true });
  }
});

test("a pod that the runtime tells little about leaves all the same, in no order if need be", async () => {
  const folder = await mkdtemp(join(tmpdir(), "waybill-test-act-"));
  const places = placesIn(folder, `/waybill-test-${randomUUID().slice(0, 8)}`);
  const pod = aPod();
  const image = pod.spec.containers[0]?.image ?? "";
  const memory = openMemoryRuntime([image]);
  await memory.pullImage(image, { username: "node", password: "any" });
  const refuse = async () => {
    throw new RuntimeError("ContainerStatus", "UNKNOWN", new Error("it is damaged"));
  };
  const runtime = { ...memory, containerDetail: refuse, stopContainer: refuse };
  const hands = someHands({ runtime, places });
  const [start] = planNode(aWorld([pod], []));
  if (start?.do !== "start-pod") throw new Error("it is not started");
  const { signal } = new AbortController();
  try {
    await executors(hands)["start-pod"](start, signal);
    const sandboxes = await openObserver(runtime, () => undefined, hands.notes)();
    const step = { do: "remove-sandboxes", uid: start.uid, sandboxes, whole: true } as const;
    await executors(hands)["remove-sandboxes"]({ ...step, because: "unwanted" }, signal);

    expect(sandboxes).toMatchObject([{ unclear: true, containers: [{ state: "running" }] }]);
    expect(await memory.list()).toEqual({ sandboxes: [], containers: [] });
  } finally {
    await removeCgroup(places.podCgroup(start.uid));
    await removeCgroup(places.cgroup);
    await rm(folder, { recursive: true });
  }
});

test("a pod that leaves is seen until nothing of it is left on its host", async () => {
  const folder = await mkdtemp(join(tmpdir(), "waybill-test-act-"));
  const places = placesIn(folder, `/waybill-test-${randomUUID().slice(0, 8)}`);
  const pod = aPod();
  const image = pod.spec.containers[0]?.image ?? "";
  const memory = openMemoryRuntime([image]);
  await memory.pullImage(image, { username: "node", password: "any" });
  const left: boolean[] = [];
  const removeSandbox: typeof memory.removeSandbox = async (id) => {
    left.push(existsSync(places.podDir(uidOf(pod))));
    return memory.removeSandbox(id);
  };
  const hands = someHands({ runtime: { ...memory, removeSandbox }, places });
  const [start] = planNode(aWorld([pod], []));
  if (start?.do !== "start-pod") throw new Error("it is not started");
  const { signal } = new AbortController();
  try {
    await executors(hands)["start-pod"](start, signal);
    await hands.notes.write(start.uid, "given-up", "one of before");
    const sandboxes = await openObserver(memory, () => undefined, hands.notes)();
    const step = { do: "remove-sandboxes", uid: start.uid, sandboxes, whole: true } as const;
    await executors(hands)["remove-sandboxes"]({ ...step, because: "unwanted" }, signal);

    expect(left).toEqual([false]);
  } finally {
    await removeCgroup(places.podCgroup(start.uid));
    await removeCgroup(places.cgroup);
    await rm(folder, { recursive: true });
  }
});

test("a pod that leaves is signalled once the requests to it are answered", async () => {
  const folder = await mkdtemp(join(tmpdir(), "waybill-test-act-"));
  const places = placesIn(folder, `/waybill-test-${randomUUID().slice(0, 8)}`);
  const pod = aPod();
  const image = pod.spec.containers[0]?.image ?? "";
  const memory = openMemoryRuntime([image]);
  await memory.pullImage(image, { username: "node", password: "any" });
  const happened: string[] = [];
  let open = 3;
  const stopContainer: typeof memory.stopContainer = (...said) => {
    happened.push("signalled");
    return memory.stopContainer(...said);
  };
  const hands = someHands({
    runtime: { ...memory, stopContainer },
    places,
    routed: () => true,
    withdrawn: async (ip) => {
      happened.push("withdrawn");
      return [`${ip}:8080`];
    },
    connectionsTo: async (addresses) => {
      happened.push(`${open} to ${addresses}`);
      return open === 0 ? 0 : open--;
    },
  });
  const [start] = planNode(aWorld([pod], []));
  if (start?.do !== "start-pod") throw new Error("it is not started");
  try {
    await executors(hands)["start-pod"](start, new AbortController().signal);
    const sandboxes = await openObserver(memory, () => undefined, hands.notes)();
    const step = { do: "remove-sandboxes", uid: start.uid, sandboxes, whole: true } as const;
    await executors(hands)["remove-sandboxes"](
      { ...step, because: "unwanted" },
      new AbortController().signal,
    );

    const counts = [3, 2, 1, 0, 0].map((count) => `${count} to 10.0.0.2:8080`);
    expect(happened).toEqual(["withdrawn", ...counts, "signalled"]);
  } finally {
    await removeCgroup(places.podCgroup(start.uid));
    await removeCgroup(places.cgroup);
    await rm(folder, { recursive: true });
  }
});
test.each([
  ["Always", "comes back"],
  ["Never", "waits"],
] as const)(
  "where nothing can be noted, a pod that restarts %s %s after its sandbox died",
  async (restartPolicy, what) => {
    const folder = await mkdtemp(join(tmpdir(), "waybill-test-act-"));
    const places = placesIn(folder, `/waybill-test-${randomUUID().slice(0, 8)}`);
    const pod = aPod({ spec: { restartPolicy } });
    const image = pod.spec.containers[0]?.image ?? "";
    const runtime = openMemoryRuntime([image]);
    await runtime.pullImage(image, { username: "node", password: "any" });
    const write = () => Promise.reject(new Error("the disk is full"));
    const hands = someHands({ runtime, places, notes: { has: async () => false, write } });
    const observe = openObserver(runtime, () => undefined, hands.notes);
    const start = async () => {
      const [step] = planNode(aWorld([pod], await observe(), { nowMs: Date.now() + 3_600_000 }));
      if (step?.do !== "start-pod") throw new Error("it is not started");
      await executors(hands)["start-pod"](step, new AbortController().signal);
    };
    try {
      await start();
      runtime.reboot();
      await start().catch((error: unknown) => {
        if (!String(error).includes("the disk is full")) throw error;
      });

      const back = (await observe()).some((it) => it.ready);
      expect(back ? "comes back" : "waits").toBe(what);
    } finally {
      await removeCgroup(places.podCgroup(pod.metadata.uid));
      await removeCgroup(places.cgroup);
      await rm(folder, { recursive: true });
    }
  },
);
