import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { PodStatus } from "../../contract/node/protocol.ts";
import { groupsIn } from "../../node-agent/host/cgroups.ts";
import { mounts } from "../../node-agent/host/mounts.ts";
import { eventually } from "../support/eventually.ts";
import { startForgottenTask, tasksIn } from "../support/forgotten-task.ts";
import { type PodHost, startPodHost } from "../support/pod-host.ts";
import { aPod } from "../support/pods.ts";

/* The agent's hands on a real containerd: what the containers of a pod see of each other, and their order. */

let host: PodHost;

beforeAll(async () => {
  host = await startPodHost();
});
afterAll(() => host[Symbol.asyncDispose](), 60_000);

const script = (text: string) => ["sh", "-c", text];
/** A shell that ends at once when it is asked to, after its last words. */
const untilAsked = (first: string, last: string) =>
  script(`trap '${last}; exit 0' TERM; ${first}; while true; do sleep 0.05; done`);

test("the containers of a pod share address, IPC, processes and volumes, and are told what they ask", async () => {
  const { image } = host;
  const pod = aPod({
    image,
    spec: {
      shareProcessNamespace: true,
      hostname: "together",
      volumes: [
        { name: "shared", emptyDir: {} },
        { name: "config", configMap: { name: "settings.v1" } },
      ],
      initContainers: [
        {
          name: "beside",
          image,
          restartPolicy: "Always",
          workingDir: "/tmp",
          command: ["sh", "-c", "echo $(GREETING) > /shared/said; exec sleep 600"],
          env: [
            { name: "GREETING", value: "hello" },
            { name: "IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
          ],
          volumeMounts: [{ name: "shared", mountPath: "/shared" }],
        },
      ],
    },
    container: {
      volumeMounts: [
        { name: "shared", mountPath: "/one", subPath: "said", readOnly: true },
        { name: "config", mountPath: "/config" },
      ],
    },
  });
  const values = new Map([["settings.v1", new Map([["level", Buffer.from("debug")]])]]);
  const materials = async () => ({ configMaps: values, secrets: new Map() });

  const { ip } = await host.start(pod, host.hands({ materials }));

  expect(await host.run(pod, "beside", "wget -q -O - http://127.0.0.1:8080/")).toMatch(/^hello/);
  expect(await host.run(pod, "web", "cat /one /config/level; hostname")).toBe(
    "hello\ndebugtogether\n",
  );
  expect(await host.run(pod, "web", "ps")).toMatch(/sleep 600/);
  expect(await host.run(pod, "beside", "readlink /proc/self/cwd; echo $IP")).toBe(`/tmp\n${ip}\n`);
  const ipc = await host.run(
    pod,
    "beside",
    "readlink /proc/self/ns/ipc; readlink /proc/self/ns/net",
  );
  expect(await host.run(pod, "web", "readlink /proc/self/ns/ipc; readlink /proc/self/ns/net")).toBe(
    ipc,
  );
  await expect(host.run(pod, "web", "echo x > /one")).rejects.toThrow(/Read-only/);
  await host.remove(pod);
  const below = host.places.podDir(pod.metadata.uid);
  expect((await mounts()).filter((it) => it.path.startsWith(below))).toEqual([]);
});

test("a pod is stopped in order: the main container with its hook, then sidecars from the last to the first", async () => {
  const { image } = host;
  await mkdir(join(host.dir, "order"), { recursive: true });
  const volumeMounts = [{ name: "host", mountPath: "/host" }];
  const say = (words: string) => `echo ${words} >> /host/order`;
  const sidecar = (name: string) => ({
    name,
    image,
    restartPolicy: "Always",
    volumeMounts,
    command: untilAsked(say(`${name} starts`), say(`${name} ends`)),
  });
  const pod = aPod({
    image,
    grace: 10,
    spec: {
      volumes: [{ name: "host", hostPath: { path: join(host.dir, "order") } }],
      initContainers: [sidecar("first"), sidecar("second")],
    },
    container: {
      volumeMounts,
      command: untilAsked(say("main starts"), say("main ends")),
      lifecycle: {
        postStart: { exec: { command: script(`sleep 0.3; ${say("postStart")}`) } },
        preStop: { exec: { command: script(`sleep 0.3; ${say("preStop")}`) } },
      },
    },
  });

  await host.start(pod, host.hands({ hostPaths: [host.dir] }));
  await host.remove(pod);

  const lines = (await readFile(join(host.dir, "order/order"), "utf8")).trim().split("\n");
  expect(lines.slice(0, 3).toSorted()).toEqual(["first starts", "main starts", "second starts"]);
  expect(lines.slice(3)).toEqual([
    "postStart",
    "preStop",
    "main ends",
    "second ends",
    "first ends",
  ]);
});

test("a container whose postStart hook fails is ended, and the reason says so", async () => {
  const lifecycle = { postStart: { exec: { command: script("echo no luck >&2; exit 3") } } };
  const pod = aPod({ image: host.image, container: { lifecycle } });

  await expect(host.start(pod)).rejects.toMatchObject({
    reason: "FailedPostStartHook",
    message: "the postStart hook of web failed: the command ended with code 3: no luck",
  });

  expect((await host.container(pod, "web")).state).toBe("exited");
  await host.remove(pod);
});

test("a container that cannot start is named, and keeps none of the others from it", async () => {
  const { image } = host;
  const valueFrom = { secretKeyRef: { name: "none.v1", key: "x" } };
  const other = { name: "other", image, command: ["sleep", "600"] };
  const [web] = aPod({ image, container: { env: [{ name: "A", valueFrom }] } }).spec.containers;
  const pod = aPod({ image, spec: { containers: [web, other] } });

  await expect(host.start(pod)).rejects.toMatchObject({
    reason: "CreateContainerConfigError",
    message: 'the secret "none.v1" is not on this node',
  });

  await eventually(async () => expect((await host.container(pod, "other")).state).toBe("running"));
  await host.remove(pod);
});

test("a pod that is over takes with it what a start that was cut off left running", async () => {
  const pod = aPod({ image: host.image });
  const sandbox = await host.start(pod);
  const { uid } = pod.metadata;
  const { id } = await host.container(pod, "web");
  await host.runtime.stopContainer(id, 0);
  await startForgottenTask(host.endpoint, id);
  const end = { pod: uid, phase: "Failed", ready: false, restarts: 0, containers: [] };
  const status = PodStatus.parse(end);
  const outcome = { fingerprint: sandbox.fingerprint, status, fault: undefined };

  const step = { do: "end-pod", uid, outcome, sandboxes: [await host.seen(pod)] } as const;
  await host.table["end-pod"](step, new AbortController().signal);

  expect((await host.runtime.list()).sandboxes).toEqual([]);
  expect(await tasksIn(host.endpoint)).toEqual([]);
  expect(await groupsIn(host.places.cgroup)).toEqual([]);
});
